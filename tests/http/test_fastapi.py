"""The features in FastAPI's documentation work on this application, beside the routes of the contracts."""

import asyncio
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    Security,
    WebSocket,
)
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field

from domain.errors import TaskNotFound
from domain.values import UserId
from entrypoints.container import Container
from entrypoints.http import owner
from entrypoints.http.contract import ContractRoute
from entrypoints.http.contracts import tasks
from entrypoints.http.express import Express, _understand
from entrypoints.http.owner import OwnList
from tests.http.conftest import application, assert_problem, bearer

Client = httpx2.AsyncClient


@pytest.fixture
def app(wiring: Container) -> FastAPI:
    return application(wiring)


@pytest.fixture
async def web(app: FastAPI) -> AsyncIterator[Client]:
    """Alice's client, for an application that the test may still extend."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with Client(transport=transport, base_url="http://testserver", headers=bearer("alice")) as client:
        yield client


async def contracts_still_work(web: Client) -> None:
    """Checks the routes of the contracts after an extension of the application."""
    created = await web.post("/api/tasks", json={"title": "Buy milk"})
    assert created.status_code == 201
    assert (await web.get(created.headers["location"])).json() == created.json()
    assert (await web.get("/api/alice/tasks")).json() == [created.json()]
    assert (await web.patch(f"{created.headers['location']}/complete")).json()["completed"] is True
    assert (await web.delete(created.headers["location"])).status_code == 204
    assert (await web.get("/api/tasks/0")).status_code == 422


# Routes


async def test_a_route_added_to_the_application_is_served(app: FastAPI, web: Client) -> None:
    await contracts_still_work(web)

    @app.get("/hello/{name}")
    async def hello(name: str, times: int = 1) -> dict[str, Any]:
        return {"hello": name, "times": times}

    assert (await web.get("/hello/ada?times=3")).json() == {"hello": "ada", "times": 3}
    await contracts_still_work(web)


async def test_the_declared_status_code_and_response_model_of_a_route_apply(app: FastAPI, web: Client) -> None:
    class Item(BaseModel):
        name: str

    @app.post("/items", status_code=202, response_model=Item)
    async def create(name: Annotated[str, Body(embed=True)]) -> Any:
        return {"name": name, "secret": "left out by the model"}

    response = await web.post("/items", json={"name": "lamp"})
    assert (response.status_code, response.json()) == (202, {"name": "lamp"})


async def test_a_body_can_be_a_pydantic_model(app: FastAPI, web: Client) -> None:
    class Item(BaseModel):
        name: str = Field(min_length=2)
        price: float

    @app.post("/items")
    async def create(item: Item) -> Item:
        return item

    assert (await web.post("/items", json={"name": "lamp", "price": "2.5"})).json() == {"name": "lamp", "price": 2.5}
    problem = assert_problem(await web.post("/items", json={"name": "l"}), 422, "invalid_input")
    assert [error["field"] for error in problem["errors"]] == ["name", "price"]
    malformed = await web.post("/items", content=b'{"name"', headers={"Content-Type": "application/json"})
    assert [error["field"] for error in assert_problem(malformed, 422, "invalid_input")["errors"]] == ["body"]


async def test_a_router_is_included_with_a_prefix(app: FastAPI, web: Client) -> None:
    router = APIRouter(prefix="/items")

    @router.get("/{number}")
    async def read(number: int) -> int:
        return number

    app.include_router(router, prefix="/v2")
    assert (await web.get("/v2/items/7")).json() == 7
    await contracts_still_work(web)


async def test_a_route_under_api_needs_a_token_and_may_use_the_caller_s_list(app: FastAPI, web: Client) -> None:
    @app.get("/api/count")
    async def count(todo: OwnList) -> int:
        return len([task async for chunk in todo.list() for task in chunk])

    await web.post("/api/tasks", json={"title": "Buy milk"})
    assert (await web.get("/api/count")).json() == 1
    assert_problem(await web.get("/api/count", headers={"Authorization": ""}), 401, "missing_token")


async def test_a_route_inserted_before_those_of_a_contract_takes_precedence(app: FastAPI, web: Client) -> None:
    await contracts_still_work(web)

    async def mine(request: Request) -> Response:
        return PlainTextResponse("mine")

    app.router.routes.insert(0, APIRoute("/api/tasks/{name}", mine))
    assert (await web.get("/api/tasks/7")).text == "mine"
    assert (await web.get("/api/tasks")).json() == []


async def test_a_mounted_application_and_static_files_are_served(
    app: FastAPI, web: Client, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "page.html").write_text("<h1>Tasks</h1>")
    other = FastAPI()

    @other.get("/ping")
    async def ping() -> str:
        return "pong"

    app.mount("/other", other)
    app.mount("/static", StaticFiles(directory=tmp_path))
    assert (await web.get("/other/ping")).json() == "pong"
    assert (await web.get("/static/page.html")).text == "<h1>Tasks</h1>"
    assert_problem(await web.get("/static/missing.html"), 404, "not_found")
    await contracts_still_work(web)


async def test_the_application_itself_can_be_mounted(app: FastAPI) -> None:
    outer = FastAPI()
    outer.mount("/todo", app)
    transport = httpx2.ASGITransport(outer, raise_app_exceptions=False)
    async with Client(transport=transport, base_url="http://testserver/todo") as web:
        assert (await web.get("/healthz")).json() == {"status": "ok"}


def test_a_websocket_route_works(app: FastAPI) -> None:
    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text((await websocket.receive_text()).upper())
        await websocket.close()

    with TestClient(app).websocket_connect("/echo") as connection:
        connection.send_text("milk")
        assert connection.receive_text() == "MILK"


async def test_background_tasks_run_after_the_response(app: FastAPI, web: Client) -> None:
    done: list[str] = []

    @app.post("/later")
    async def later(background: BackgroundTasks) -> str:
        background.add_task(done.append, "mail sent")
        return "accepted"

    assert (await web.post("/later")).json() == "accepted"
    assert done == ["mail sent"]


# Parameters and dependencies


@pytest.mark.parametrize("limit", ["0", "9999", "x", ""])
async def test_the_constraints_of_a_parameter_are_enforced(app: FastAPI, web: Client, limit: str) -> None:
    async def paged(limit: Annotated[int, Query(ge=1, le=100)] = 10) -> int:
        return limit

    @app.get("/page")
    async def page(limit: Annotated[int, Depends(paged)]) -> int:
        return limit

    assert ((await web.get("/page?limit=100")).json(), (await web.get("/page")).json()) == (100, 10)
    problem = assert_problem(await web.get("/page", params={"limit": limit}), 422, "invalid_input")
    assert [error["field"] for error in problem["errors"]] == ["limit"]


async def test_headers_and_cookies_can_be_parameters(app: FastAPI, web: Client) -> None:
    @app.get("/visitor")
    async def visitor(user_agent: Annotated[str, Header()], visits: Annotated[int, Cookie()] = 0) -> list[Any]:
        return [user_agent, visits]

    response = await web.get("/visitor", headers={"User-Agent": "browser", "Cookie": "visits=3"})
    assert response.json() == ["browser", 3]


async def test_dependencies_can_be_nested_are_cached_and_may_be_plain_functions(app: FastAPI, web: Client) -> None:
    calls = []

    def counted() -> int:
        calls.append("counted")
        return len(calls)

    async def doubled(number: Annotated[int, Depends(counted)]) -> int:
        return 2 * number

    @app.get("/sum")
    async def add(one: Annotated[int, Depends(counted)], two: Annotated[int, Depends(doubled)]) -> int:
        return one + two

    assert (await web.get("/sum")).json() == 3
    assert calls == ["counted"]


async def test_a_generator_dependency_is_closed_after_the_response(app: FastAPI, web: Client) -> None:
    steps = []

    async def session() -> AsyncIterator[str]:
        steps.append("open")
        yield "session"
        steps.append("closed")

    def plain() -> Iterator[str]:
        steps.append("open too")
        yield "plain"
        steps.append("closed too")

    @app.get("/work")
    async def work(one: Annotated[str, Depends(session)], two: Annotated[str, Depends(plain)]) -> list[str]:
        steps.append("work")
        return [one, two]

    assert (await web.get("/work")).json() == ["session", "plain"]
    assert steps == ["open", "open too", "work", "closed too", "closed"]


async def test_a_dependency_of_a_router_guards_all_its_routes(app: FastAPI, web: Client) -> None:
    async def guard(x_key: Annotated[str | None, Header()] = None) -> None:
        if x_key != "open sesame":
            raise HTTPException(403, detail="Wrong key")

    router = APIRouter(prefix="/guarded", dependencies=[Depends(guard)])

    @router.get("/cave")
    async def cave() -> str:
        return "gold"

    app.include_router(router)
    assert assert_problem(await web.get("/guarded/cave"), 403, "forbidden")["detail"] == "Wrong key"
    assert (await web.get("/guarded/cave", headers={"X-Key": "open sesame"})).json() == "gold"


async def test_a_dependency_passed_to_include_router_guards_a_contract_too(wiring: Container) -> None:
    async def closed() -> None:
        raise HTTPException(403, detail="Closed for the winter")

    app = application(wiring)
    contracts = [route for route in app.router.routes if getattr(route, "original_router", None) is tasks.router]
    app.router.routes[:] = [route for route in app.router.routes if route not in contracts]
    app.include_router(tasks.router, dependencies=[Depends(closed)])
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with Client(transport=transport, base_url="http://testserver", headers=bearer("alice")) as web:
        assert assert_problem(await web.get("/api/tasks"), 403, "forbidden")["detail"] == "Closed for the winter"
        assert (await web.get("/api/alice/tasks")).status_code == 200


async def test_a_security_scheme_can_be_a_dependency(app: FastAPI, web: Client) -> None:
    @app.get("/whoami")
    async def whoami(credentials: Annotated[Any, Security(HTTPBearer())]) -> str:
        return str(credentials.scheme)

    assert (await web.get("/whoami")).json() == "Bearer"


async def test_a_dependency_of_the_contracts_can_be_overridden(app: FastAPI, web: Client) -> None:
    """With `dependency_overrides`, as in FastAPI's guide to testing."""
    created = (await web.post("/api/tasks", json={"title": "hers"})).json()
    bobs = app.state.services.todo_list(UserId("bob"))

    async def bobs_list() -> Any:
        return bobs

    app.dependency_overrides[owner._own_list] = bobs_list
    assert (await web.get("/api/tasks")).json() == []
    app.dependency_overrides.clear()
    assert (await web.get("/api/tasks")).json() == [created]


async def test_a_response_parameter_sets_headers_and_cookies(app: FastAPI, web: Client) -> None:
    @app.get("/cookie")
    async def cookie(response: Response) -> str:
        response.set_cookie("visited", "yes")
        response.headers["X-Kind"] = "chocolate"
        return "here"

    response = await web.get("/cookie")
    assert (response.json(), response.cookies["visited"], response.headers["x-kind"]) == ("here", "yes", "chocolate")


# Exceptions


class Broken(Exception):
    pass


async def test_a_custom_exception_handler_is_called(app: FastAPI, web: Client) -> None:
    @app.exception_handler(Broken)
    async def on_broken(request: Request, failure: Exception) -> JSONResponse:
        return JSONResponse({"oops": str(failure)}, 418)

    @app.get("/broken")
    async def broken() -> str:
        raise Broken("teapot")

    response = await web.get("/broken")
    assert (response.status_code, response.json()) == (418, {"oops": "teapot"})
    await contracts_still_work(web)


async def test_an_exception_handler_applies_to_the_contracts_as_well(app: FastAPI, web: Client) -> None:
    @app.exception_handler(TaskNotFound)
    async def on_missing(request: Request, failure: Exception) -> JSONResponse:
        return JSONResponse({"gone": True}, 410)

    response = await web.get("/api/tasks/7")
    assert (response.status_code, response.json()) == (410, {"gone": True})
    assert_problem(await web.get("/api/tasks/7", headers={"Authorization": ""}), 401, "missing_token")


async def test_a_handler_for_every_exception_replaces_the_500(app: FastAPI, web: Client) -> None:
    @app.exception_handler(Exception)
    async def on_anything(request: Request, failure: Exception) -> JSONResponse:
        return JSONResponse({"error": "ours"}, 500)

    @app.get("/broken")
    async def broken() -> str:
        raise Broken

    assert (await web.get("/broken")).json() == {"error": "ours"}
    assert_problem(await web.get("/api/tasks/7"), 404, "task_not_found")


async def test_an_http_exception_keeps_its_status_detail_and_headers(app: FastAPI, web: Client) -> None:
    @app.get("/items/{name}")
    async def read(name: str) -> str:
        match name:
            case "teapot":
                raise HTTPException(418, detail={"short": "stout"}, headers={"X-Spout": "here"})
            case "unchanged":
                raise HTTPException(304)
            case "cat":
                raise HTTPException(400, detail="No cats")
            case _:
                raise HTTPException(404, detail="Item not found")

    response = await web.get("/items/teapot")
    assert assert_problem(response, 418, "i_m_a_teapot")["detail"] == {"short": "stout"}
    assert response.headers["x-spout"] == "here"
    assert assert_problem(await web.get("/items/lamp"), 404, "not_found")["detail"] == "Item not found"
    assert assert_problem(await web.get("/items/cat"), 400, "bad_request")["detail"] == "No cats"
    unchanged = await web.get("/items/unchanged")
    assert (unchanged.status_code, unchanged.content) == (304, b"")


async def test_an_unhandled_exception_in_an_added_route_is_a_500_that_reveals_nothing(
    app: FastAPI, web: Client
) -> None:
    @app.get("/broken")
    async def broken() -> str:
        raise Broken("a secret")

    response = await web.get("/broken")
    assert_problem(response, 500, "internal_error")
    assert "secret" not in response.text


# Middleware and documentation


async def test_added_middleware_runs_for_every_request(app: FastAPI, web: Client) -> None:
    @app.middleware("http")
    async def stamp(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["X-Stamp"] = request.url.path
        return response

    for path in ("/api/tasks", "/healthz", "/nowhere"):
        assert (await web.get(path)).headers["x-stamp"] == path
    await contracts_still_work(web)


async def test_an_added_route_is_in_the_openapi_document(app: FastAPI, web: Client) -> None:
    class Item(BaseModel):
        name: str

    @app.post("/items/{number}")
    async def create(number: Annotated[int, Path(ge=1)], item: Item) -> Item:
        return item

    document = (await web.get("/openapi.json")).json()
    added = document["paths"]["/items/{number}"]["post"]
    assert added["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Item"}
    problem = {"$ref": "#/components/schemas/Problem"}
    assert added["responses"]["422"]["content"]["application/json"]["schema"] == problem
    assert "security" not in added
    assert "ValidationError" not in document["components"]["schemas"]


# The express lane


def test_the_express_lane_understands_every_route_of_the_contracts(app: FastAPI) -> None:
    routes = [route for route in iter_route_contexts(app.routes) if isinstance(route.original_route, ContractRoute)]
    assert len(routes) == 16
    for route in routes:
        assert _understand(route, []), route.path


async def test_the_express_lane_runs_what_it_understands_and_nothing_else(
    app: FastAPI, web: Client, express: bool
) -> None:
    """Told apart by the ASGI scope: FastAPI leaves its exit stacks in it, the express lane does not."""
    scopes = []

    class RecordScopes:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scopes.append(scope)
            await self._inner(scope, receive, send)

    @app.get("/added")
    async def added() -> str:
        return ""

    app.add_middleware(RecordScopes)
    await contracts_still_work(web)
    assert {("fastapi_inner_astack" in scope) for scope in scopes} == {not express}
    scopes.clear()
    await asyncio.gather(web.get("/added"), web.get("/healthz"), web.put("/api/tasks"), web.get("/api/tasks/1/2"))
    assert all("todo.express" not in scope for scope in scopes)
    middleware: list[object] = [layer.cls for layer in app.user_middleware]
    assert (Express in middleware) is express
