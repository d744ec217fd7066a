"""Rules of every path: error responses, request bodies, request IDs, CORS, interrupted responses, health."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import httpx2
import pytest
from dependency_injector.providers import Callable, Object
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.in_memory import InMemoryTaskRepository
from domain.errors import DomainError, StorageUnavailable, TooManyRequests
from domain.listing import ALL, Position, Selection
from domain.task import Draft, Task
from domain.values import Title, UserId
from entrypoints.container import Container
from entrypoints.http.middleware.cors import Cors
from entrypoints.http.problem import ERRORS, TITLES
from entrypoints.observability.request_metrics import RequestCounts
from tests.http.conftest import FRONTEND, Contract, application, assert_problem, bearer, client

Client = httpx2.AsyncClient
JSON = {"Content-Type": "application/json"}


class FailingTaskRepository(InMemoryTaskRepository):
    """Raises the given exception when tasks are listed."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self._failure = failure

    async def page(self, *_: object, **__: object) -> Sequence[Task]:
        raise self._failure


class InterruptedTaskRepository(InMemoryTaskRepository):
    """Becomes unavailable after two chunks of a list."""

    remaining_chunks = 2

    async def page(
        self, owner: UserId, selection: Selection = ALL, *, after: Position | None = None, limit: int
    ) -> Sequence[Task]:
        self.remaining_chunks -= 1
        if self.remaining_chunks < 0:
            raise StorageUnavailable
        [task] = await super().page(owner, selection, limit=1)
        return [task] * limit


# Errors


def _with_subclasses(error: type[DomainError]) -> list[type[DomainError]]:
    return [error, *(descendant for child in error.__subclasses__() for descendant in _with_subclasses(child))]


def test_every_domain_error_has_a_status() -> None:
    errors = _with_subclasses(DomainError)[1:]
    assert len(errors) > 5
    assert set(errors) == set(ERRORS)
    assert all(spec.status in TITLES for spec in ERRORS.values())


async def test_an_error_is_problem_json_if_the_client_accepts_it(alice: Client, contract: Contract) -> None:
    path = f"{contract.alice_path}/1"
    assert (await alice.get(path)).headers["content-type"] == "application/json"
    for accept in ("application/problem+json", "application/json, application/problem+json;q=0.9"):
        response = await alice.get(path, headers={"Accept": accept})
        assert response.headers["content-type"] == "application/problem+json"
        assert_problem(response, 404, "task_not_found")


@pytest.mark.parametrize("status", [403, 404])
async def test_the_texts_of_403_and_404_never_mention_tokens(alice: Client, status: int) -> None:
    response = await alice.get({403: "/api/bob/tasks", 404: "/api/tasks/1"}[status])
    assert response.status_code == status
    assert "token" not in response.text.lower()


async def test_an_unhandled_exception_is_a_500_that_reveals_nothing(wiring: Container, contract: Contract) -> None:
    wiring.tasks.override(Object(FailingTaskRepository(RuntimeError("SELECT secret FROM /srv/app"))))
    async with client(wiring, **bearer("alice"), Origin=FRONTEND) as alice:
        response = await alice.get(contract.alice_path)
    assert assert_problem(response, 500, "internal_error")["detail"] == "Internal server error"
    assert "secret" not in response.text
    assert response.headers["access-control-allow-origin"] == FRONTEND
    assert "retry-after" not in response.headers


async def test_unavailable_storage_is_reported_with_retry_after(wiring: Container, contract: Contract) -> None:
    wiring.tasks.override(Object(FailingTaskRepository(StorageUnavailable())))
    async with client(wiring, **bearer("alice")) as alice:
        response = await alice.get(contract.alice_path)
    assert_problem(response, contract.unavailable, "storage_unavailable")
    assert int(response.headers["retry-after"]) > 0


async def test_an_owner_who_floods_gets_429_with_retry_after(wiring: Container, contract: Contract) -> None:
    wiring.tasks.override(Object(FailingTaskRepository(TooManyRequests())))
    async with client(wiring, **bearer("alice")) as alice:
        response = await alice.get(contract.alice_path)
    assert_problem(response, 429, "too_many_requests")
    assert int(response.headers["retry-after"]) > 0
    assert "token" not in response.text.lower()


async def test_beyond_the_quota_a_creation_is_403(wiring: Container, contract: Contract) -> None:
    wiring.tasks.override(Object(InMemoryTaskRepository(1)))
    async with client(wiring, **bearer("alice")) as alice:
        assert (await alice.post(contract.alice_path, json={"title": "first"})).status_code == 201
        response = await alice.post(contract.alice_path, json={"title": "second"})
    assert_problem(response, 403, "quota_exceeded")
    assert "token" not in response.text.lower()


# Bodies


async def test_a_body_of_64_kib_is_accepted_and_a_larger_one_is_413(alice: Client, contract: Contract) -> None:
    largest = b'{"title": "x"' + b" " * (64 * 1024 - 14) + b"}"
    assert (await alice.post(contract.alice_path, content=largest, headers=JSON)).status_code == 201

    async def chunks() -> object:
        for _ in range(80):
            yield b" " * 1024

    for content in (largest + b" ", b"x" * 10_000_000, chunks()):
        response = await alice.post(contract.alice_path, content=content, headers=JSON)  # type: ignore[arg-type]
        assert_problem(response, 413, "body_too_large")
    assert len((await alice.get(contract.alice_path)).json()) == 1


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"],
)
async def test_a_body_of_another_media_type_is_415(alice: Client, contract: Contract, media_type: str) -> None:
    response = await alice.post(contract.alice_path, content=b'{"title": "x"}', headers={"Content-Type": media_type})
    assert_problem(response, 415, "unsupported_media_type")


async def test_a_compressed_body_is_415(alice: Client, contract: Contract) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    assert_problem(
        await alice.post(contract.alice_path, content=b"\x1f\x8b", headers=headers), 415, "unsupported_media_type"
    )


async def test_a_body_with_an_upgrade_header_is_400_and_not_ignored(alice: Client, contract: Contract) -> None:
    path = (await alice.post(contract.alice_path, json={"title": "x"})).headers["location"]
    upgrade = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}
    response = await alice.patch(f"{path}/complete", json={"completed": False}, headers=upgrade)
    assert_problem(response, 400, "upgrade_refused")
    assert response.headers["connection"] == "close"
    assert (await alice.get(path, headers=upgrade)).json()["completed"] is False


@pytest.mark.parametrize("headers", [{}, JSON, {"Content-Type": "Application/JSON; charset=utf-8"}])
async def test_json_is_read_with_or_without_a_content_type(
    alice: Client, contract: Contract, headers: dict[str, str]
) -> None:
    response = await alice.post(contract.alice_path, content='{"title": "日本語"}'.encode(), headers=headers)
    assert (response.status_code, response.json()["title"]) == (201, "日本語")


async def test_the_charset_of_json_is_utf_8_whatever_is_declared(alice: Client, contract: Contract) -> None:
    """RFC 8259 sections 8.1 and 11."""
    declared = {"Content-Type": "application/json; charset=utf-16"}
    body = '{"title": "日本語"}'
    response = await alice.post(contract.alice_path, content=body.encode(), headers=declared)
    assert (response.status_code, response.json()["title"]) == (201, "日本語")
    response = await alice.post(contract.alice_path, content=body.encode("utf-16"), headers=declared)
    assert_problem(response, contract.invalid, "invalid_input")


async def test_an_empty_body_of_another_media_type_counts_as_no_body(alice: Client, contract: Contract) -> None:
    path = (await alice.post(contract.alice_path, json={"title": "x"})).headers["location"]
    response = await alice.patch(f"{path}/complete", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert response.json()["completed"] is True


async def test_the_last_of_duplicate_json_members_counts(alice: Client, contract: Contract) -> None:
    response = await alice.post(contract.alice_path, content=b'{"title": "a", "title": "b"}', headers=JSON)
    assert response.json()["title"] == "b"


# Request IDs


@pytest.mark.parametrize("chosen", ["abc", "7f3a-1_2.3", "x" * 128])
async def test_a_request_id_chosen_by_the_client_is_returned(alice: Client, chosen: str) -> None:
    response = await alice.get("/api/tasks/1", headers={"X-Request-ID": chosen})
    assert response.headers["x-request-id"] == response.json()["request_id"] == chosen


@pytest.mark.parametrize("chosen", ["", "x" * 129, "a b", "a\tb", "<script>", "é", '"', "a,b"])
async def test_a_malformed_request_id_is_replaced(alice: Client, chosen: str) -> None:
    response = await alice.get("/api/tasks", headers=[(b"X-Request-ID", chosen.encode("latin-1"))])
    assert response.status_code == 200
    assert len(response.headers["x-request-id"]) == 32


async def test_every_request_without_an_id_gets_a_new_one(anonymous: Client) -> None:
    assert len({(await anonymous.get("/healthz")).headers["x-request-id"] for _ in range(10)}) == 10


# CORS


def preflight(origin: str, method: str = "PUT", headers: str = "authorization, content-type") -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_preflight_from_the_frontend_needs_no_token(anonymous: Client, contract: Contract, method: str) -> None:
    response = await anonymous.options(contract.alice_path, headers=preflight(FRONTEND, method))
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == FRONTEND
    assert response.headers["access-control-allow-credentials"] == "true"
    assert method in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-max-age"] == "7200"
    allowed = response.headers["access-control-allow-headers"].lower()
    ours = {"authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "x-request-id"}
    ours |= {"traceparent", "tracestate"}
    assert ours <= set(allowed.split(", "))


@pytest.mark.parametrize(
    "origin", ["https://evil.example", f"{FRONTEND}.evil.example", "http://app.example.com", f"{FRONTEND}:8443", "null"]
)
async def test_another_origin_gets_no_cors_headers(anonymous: Client, origin: str) -> None:
    refused = await anonymous.options("/api/tasks", headers=preflight(origin))
    response = await anonymous.get("/api/tasks", headers={"Origin": origin})
    assert not [name for name in refused.headers if name.startswith("access-control")]
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("requested", [{"method": "TRACE"}, {"headers": "x-surprise"}])
async def test_a_preflight_for_more_than_is_allowed_is_refused(anonymous: Client, requested: dict[str, str]) -> None:
    response = await anonymous.options("/api/tasks", headers=preflight(FRONTEND, **requested))
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_the_frontend_can_read_every_response_including_errors(wiring: Container) -> None:
    wiring.ping.override(Callable(_unreachable))
    async with client(wiring, Origin=FRONTEND) as page:
        responses = [
            await page.get("/api/tasks"),
            await page.get("/api/tasks", headers=bearer("alice")),
            await page.get("/api/bob/tasks", headers=bearer("alice")),
            await page.get("/api/tasks/1", headers=bearer("alice")),
            await page.get("/api/tasks/x", headers=bearer("alice")),
            await page.get("/api/alice/tasks/x", headers=bearer("alice")),
            await page.put("/api/tasks", headers=bearer("alice")),
            await page.post("/api/tasks", content=b"x" * 70_000, headers=bearer("alice")),
            await page.get("/readyz"),
        ]
    assert [response.status_code for response in responses] == [401, 200, 403, 404, 422, 400, 405, 413, 503]
    for response in responses:
        assert response.headers["access-control-allow-origin"] == FRONTEND
        assert response.headers["access-control-allow-credentials"] == "true"
        exposed = set(response.headers["access-control-expose-headers"].split(", "))
        assert exposed == {"Allow", "ETag", "Link", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"}
        assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize("vary", [[], [b"Accept"], [b"Accept", b"Accept-Language"]], ids=["none", "one", "two"])
async def test_a_response_to_a_client_without_origin_varies_as_starlette_lets_it(vary: list[bytes]) -> None:
    async def respond(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"0"), *((b"vary", name) for name in vary), (b"etag", b'"1"')]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    async def receive() -> Message:
        raise AssertionError

    async def responses(app: ASGIApp) -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append({**message, "headers": sorted(message.get("headers", ()))})

        await app({"type": "http", "method": "GET", "headers": [(b"accept", b"*/*")]}, receive, send)
        return sent

    cors = Cors(respond, [FRONTEND])
    assert await responses(cors) == await responses(partial(CORSMiddleware.__call__, cors))


async def test_an_interrupted_list_is_never_complete_json_and_counts_as_an_error(
    wiring: Container, contract: Contract
) -> None:
    counts = RequestCounts()
    wiring.tasks.override(Object(repository := InterruptedTaskRepository()))
    await repository.add(UserId("alice"), Draft(Title("Buy milk")), datetime.now(UTC))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in bearer("alice").items()]
    scope = {"type": "http", "method": "GET", "path": contract.alice_path, "query_string": b"", "headers": headers}
    await application(wiring, counts=counts)(scope, _receive_nothing, send)
    assert sent[0]["status"] == 200
    assert sent[-1]["more_body"]
    assert not b"".join(message["body"] for message in sent[1:]).endswith(b"]")
    assert counts.errors == {"storage_unavailable": 1}


async def _receive_nothing() -> Message:
    await asyncio.Event().wait()
    return {}


# Health


async def _unreachable() -> None:
    raise StorageUnavailable


async def test_without_a_database_readiness_is_503_and_liveness_is_200(wiring: Container) -> None:
    wiring.ping.override(Callable(_unreachable))
    async with client(wiring) as probe:
        assert (await probe.get("/healthz")).json() == {"status": "ok"}
        response = await probe.get("/readyz")
    assert_problem(response, 503, "storage_unavailable")
    assert "retry-after" in response.headers
