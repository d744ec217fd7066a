"""Behaviour specific to the contract `/api/{user_id}/tasks`."""

from urllib.parse import quote

import httpx2
import pytest

from entrypoints.container import Container
from tests.http.conftest import assert_problem, bearer, client, container

Client = httpx2.AsyncClient


@pytest.mark.parametrize("empty", [{}, {"content": b"", "headers": {"Content-Type": "application/json"}}, {"json": {}}])
async def test_complete_without_a_body_is_idempotent(alice: Client, empty: dict[str, object]) -> None:
    task = (await alice.post("/api/alice/tasks", json={"title": "Buy milk"})).json()
    path = f"/api/alice/tasks/{task['id']}/complete"
    first, second = [await alice.patch(path, **empty) for _ in range(2)]  # type: ignore[arg-type]
    assert first.json()["completed"] is True
    assert second.json() == first.json()


async def test_complete_toggles_if_so_configured() -> None:
    async with client(container(complete_toggles=True), **bearer("alice")) as alice:
        task = (await alice.post("/api/alice/tasks", json={"title": "Buy milk"})).json()
        path = f"/api/alice/tasks/{task['id']}/complete"
        assert [(await alice.patch(path)).json()["completed"] for _ in range(2)] == [True, False]
        assert (await alice.patch(path, json={"completed": False})).json()["completed"] is False


@pytest.mark.parametrize(
    "claimed", ["bob", "Alice", "alice%20", "ALICE", "%61lice%00", "alice;", "*", "1", "%F0%9F%98%80"]
)
async def test_every_request_to_another_user_s_path_is_403(alice: Client, claimed: str) -> None:
    tasks = f"/api/{claimed}/tasks"
    for response in (
        await alice.get(tasks),
        await alice.get(f"{tasks}?status=nonsense"),
        await alice.post(tasks, json={"title": "x"}),
        await alice.post(tasks, content=b"malformed", headers={"Content-Type": "application/json"}),
        await alice.get(f"{tasks}/1"),
        await alice.get(f"{tasks}/nonsense"),
        await alice.put(f"{tasks}/1", json={"title": "x"}),
        await alice.patch(f"{tasks}/1", json={"title": "x"}),
        await alice.patch(f"{tasks}/1/complete"),
        await alice.delete(f"{tasks}/1"),
    ):
        problem = assert_problem(response, 403, "not_yours")
        assert "token" not in response.text.lower()
        assert claimed not in problem["detail"]


@pytest.mark.parametrize("user", ["alice", "José", "a b", "日本語", "a%b", "a?b#c", "tasks", "😀" * 255, "o'neill"])
async def test_any_user_id_works_in_a_path(user: str) -> None:
    async with client(container(), **bearer(user)) as me:
        tasks = f"/api/{quote(user, safe='')}/tasks"
        response = await me.post(tasks, json={"title": "Buy milk"})
        assert response.status_code == 201
        assert response.json()["user_id"] == user
        assert response.headers["location"] == f"{tasks}/{response.json()['id']}"
        assert (await me.get(response.headers["location"])).json() == response.json()
        assert (await me.get(tasks)).json() == [response.json()]


async def test_a_user_id_with_a_slash_is_served_by_the_other_contract_only(wiring: Container) -> None:
    """`%2F` separates segments here, as `/` does: no client, proxy or server disagrees about whose tasks are meant."""
    async with client(wiring, **bearer("team/alice")) as slashed:
        assert (await slashed.post("/api/tasks", json={"title": "x"})).status_code == 201
        for path in ("/api/team%2Falice/tasks", "/api/team/alice/tasks"):
            assert_problem(await slashed.get(path), 404, "not_found")


async def test_both_contracts_show_the_same_tasks(alice: Client) -> None:
    first = (await alice.post("/api/tasks", json={"title": "one"})).json()
    second = (await alice.post("/api/alice/tasks", json={"title": "two"})).json()
    assert (await alice.get("/api/tasks")).json() == (await alice.get("/api/alice/tasks")).json() == [first, second]
    assert (await alice.get(f"/api/alice/tasks/{first['id']}")).json() == first


async def test_tasks_beyond_the_stricter_limits_can_be_read_and_completed_through_the_stricter_contract(
    alice: Client,
) -> None:
    long = (await alice.post("/api/alice/tasks", json={"title": "x" * 255, "description": "y" * 5000})).json()
    assert (await alice.get(f"/api/tasks/{long['id']}")).json() == long
    assert (await alice.patch(f"/api/tasks/{long['id']}", json={"completed": True})).status_code == 200
