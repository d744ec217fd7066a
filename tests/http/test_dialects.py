"""Dialects beyond what a frontend shows: preconditions, limits and errors are those of the contracts."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from fastapi.routing import iter_route_contexts

from domain.task import Draft
from domain.values import Title, UserId
from entrypoints.container import Container
from entrypoints.http.contract import ContractRoute
from entrypoints.http.express import _understand
from tests.http.conftest import Contract, application, assert_problem, bearer, client, invalid_fields, shared

Client = httpx2.AsyncClient
ALL = {"dialect": "words", "dialect_list": "tasks", "dialect_delete": "200"}


@pytest.fixture(params=[{"dialect": "words"}, ALL], ids=["words", "all"])
def wiring(request: pytest.FixtureRequest) -> Iterator[Container]:
    with shared(**request.param) as wiring:
        yield wiring


@pytest.fixture
async def alice(wiring: Container) -> AsyncIterator[Client]:
    async with client(wiring, **bearer("alice")) as hers:
        yield hers


def tasks_of(body: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body["tasks"] if isinstance(body, dict) else body
    return found


async def create_task(alice: Client, contract: Contract, **members: object) -> dict[str, Any]:
    response = await alice.post(contract.alice_path, json={"title": "Buy milk", **members})
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


def test_the_express_lane_understands_every_route_of_a_dialect(wiring: Container) -> None:
    routes = [*iter_route_contexts(application(wiring).routes)]
    ours = [route for route in routes if isinstance(route.original_route, ContractRoute)]
    assert len(ours) > 60
    assert [route.path for route in ours if _understand(route, []) is None] == []


async def test_a_dialect_documents_itself(alice: Client) -> None:
    document = (await alice.get("/openapi.json")).json()
    assert {"/api/todos", "/api/{user_id}/todos/{id}/complete", "/api/users/me"} < document["paths"].keys()
    assert not [path for path in document["paths"] if path.endswith(("/", "toggle", "status"))]
    body = document["components"]["schemas"]["NewTask"]["properties"]
    assert {"done", "in_progress"} < {*body["status"]["enum"]}
    assert "is_completed" in body
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


async def test_the_limits_and_statuses_are_those_of_the_contract(alice: Client, contract: Contract) -> None:
    for path in (contract.alice_path, contract.alice_path.replace("tasks", "todos")):
        response = await alice.post(path, json={"title": "x" * (contract.longest_title + 1)})
        assert invalid_fields(response, contract) == ["title"]
        assert invalid_fields(await alice.post(path, json={"title": "x", "status": "soon"}), contract) == ["status"]
        assert invalid_fields(await alice.post(path, json={"title": "x", "is_complete": 1}), contract) == [
            "is_complete"
        ]
        assert invalid_fields(await alice.get(f"{path}?status=soon"), contract) == ["status"]
        assert invalid_fields(await alice.get(f"{path}/x"), contract) == ["id"]
        assert_problem(await alice.get(f"{path}/1"), 404, "task_not_found")
        assert_problem(await alice.delete(path), 405, "method_not_allowed")


async def test_names_of_completed_that_disagree_are_as_in_the_contract(alice: Client, contract: Contract) -> None:
    sent = {"title": "x", "completed": True, "is_completed": False}
    assert invalid_fields(await alice.post(contract.alice_path, json=sent), contract) == ["status"]
    task = await create_task(alice, contract, done=True)
    assert (task["completed"], task["is_completed"], task["is_complete"], task["status"]) == (
        True,
        True,
        True,
        "complete",
    )
    changed = (await alice.put(f"{contract.alice_path}/{task['id']}", json={**task, "is_completed": False})).json()
    assert (changed["completed"], changed["status"]) == (False, "incomplete")


async def test_the_location_of_a_task_is_its_address(alice: Client, contract: Contract) -> None:
    for path in (contract.alice_path, f"{contract.alice_path.replace('tasks', 'todos')}/"):
        response = await alice.post(path, json={"title": "Buy milk"})
        assert response.headers["location"] == f"{path.rstrip('/')}/{response.json()['id']}"
        assert (await alice.get(response.headers["location"])).json() == response.json()


async def test_completing_respects_preconditions(alice: Client, contract: Contract) -> None:
    task = await create_task(alice, contract)
    url = f"{contract.alice_path}/{task['id']}"
    tag = (await alice.get(url)).headers["etag"]
    assert (await alice.post(f"{url}/toggle", headers={"If-Match": tag})).json()["completed"] is True
    assert_problem(await alice.post(f"{url}/toggle", headers={"If-Match": tag}), 412, "task_changed")


async def test_a_list_is_newest_first_until_an_order_is_asked_for(alice: Client, contract: Contract) -> None:
    ids = [(await create_task(alice, contract, title=title))["id"] for title in "bca"]
    for query, expected in (
        ("", ids[::-1]),
        ("?status=in_progress", ids[::-1]),
        ("?sort=created_at", ids[::-1]),
        ("?sort=urgency&order=whatever", ids[::-1]),
        ("?order=asc", ids),
        ("?sort=title", [ids[2], ids[0], ids[1]]),
        ("?limit=2&offset=1", ids[::-1][1:]),
    ):
        assert [task["id"] for task in tasks_of((await alice.get(contract.alice_path + query)).json())] == expected, (
            query
        )


async def test_a_list_is_deleted_by_its_etag(alice: Client, contract: Contract) -> None:
    for title in "abc":
        await create_task(alice, contract, title=title)
    listed = await alice.get(contract.alice_path)
    assert (await alice.get(contract.alice_path, headers={"If-None-Match": listed.headers["etag"]})).status_code == 304
    other = (await alice.get(f"{contract.alice_path}?order=asc")).headers["etag"]
    url = f"{contract.alice_path}?all=true"
    assert_problem(await alice.delete(url, headers={"If-Match": other}), 412, "list_changed")
    assert (await alice.delete(url, headers={"If-Match": listed.headers["etag"]})).json() == {"count": 3}


async def test_a_page_in_an_object_counts_the_whole_list(contract: Contract) -> None:
    with shared(**ALL) as wiring:
        await check_counts(wiring, contract)


async def check_counts(wiring: Container, contract: Contract) -> None:
    for number in range(450):
        await wiring.tasks().add(UserId("alice"), Draft(Title(f"{number}"), completed=number % 3 == 0), wiring.now()())
    async with client(wiring, **bearer("alice")) as alice:
        whole = await alice.get(contract.alice_path)
        assert [task["title"] for task in whole.json()["tasks"]] == [f"{number}" for number in reversed(range(450))]
        for query, counts in (
            ("", (450, 450, 450, 0)),
            ("?limit=20", (450, 20, 20, 0)),
            ("?limit=200&offset=300", (450, 150, 200, 300)),
            ("?limit=7&skip=449", (450, 1, 7, 449)),
            ("?offset=500", (450, 0, 450, 500)),
            ("?completed=true&limit=1", (150, 1, 1, 0)),
            ("?search=no+such", (0, 0, 0, 0)),
        ):
            body = (await alice.get(contract.alice_path + query)).json()
            tasks = body.pop("tasks")
            assert tuple(body.values()) == counts, query
            assert (
                tasks
                == [task for task in whole.json()["tasks"] if not query.startswith("?c") or task["completed"]][
                    counts[3] : counts[3] + len(tasks)
                ]
            )


async def test_a_single_task_in_an_object_has_its_own_members_too(contract: Contract) -> None:
    with shared(**ALL, keep_unknown_members=True) as wiring:
        async with client(wiring, **bearer("alice")) as alice:
            created = await create_task(alice, contract, priority=1)
    task = created.pop("task")
    assert created == task
    assert task["priority"] == 1


async def test_the_caller_is_who_the_token_says(alice: Client) -> None:
    assert (await alice.get("/api/users/me")).json() == {"id": "alice", "email": None, "name": None}
    claims = bearer("alice", email="a@example.com", name="Alice é", role="x")
    assert (await alice.get("/api/users/me", headers=claims)).json() == {
        "id": "alice",
        "email": "a@example.com",
        "name": "Alice é",
    }


async def test_nobody_is_told_who_they_are_without_a_token(anonymous: Client) -> None:
    assert_problem(await anonymous.get("/api/users/me"), 401, "missing_token")


async def test_a_task_that_is_sent_back_as_it_came_does_not_grow() -> None:
    with (
        shared(**ALL, keep_unknown_members=True) as wiring,
        shared(dialect_list="tasks", keep_unknown_members=True) as plain,
    ):
        for each in (wiring, plain):
            async with client(each, **bearer("alice")) as alice:
                task = (await alice.post("/api/tasks", json={"title": "Buy milk", "priority": "high"})).json()
                again = (await alice.put(f"/api/tasks/{task['id']}", json={**task, "title": "Buy tea"})).json()
                assert again.keys() == task.keys()
                assert "task" not in again["task"]
