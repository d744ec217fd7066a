"""Behaviour specific to the contract `/api/tasks`."""

import httpx2
import pytest

Client = httpx2.AsyncClient


@pytest.mark.parametrize("empty", [{}, {"content": b"", "headers": {"Content-Type": "application/json"}}, {"json": {}}])
async def test_complete_without_a_body_toggles(alice: Client, empty: dict[str, object]) -> None:
    task = (await alice.post("/api/tasks", json={"title": "Buy milk"})).json()
    path = f"/api/tasks/{task['id']}/complete"
    responses = [await alice.patch(path, **empty) for _ in range(3)]  # type: ignore[arg-type]
    assert [response.json()["completed"] for response in responses] == [True, False, True]


async def test_the_owner_is_the_caller_whatever_the_body_says(alice: Client, bob: Client) -> None:
    await alice.post("/api/tasks", json={"title": "hers", "user_id": "bob"})
    assert (await bob.get("/api/tasks")).json() == []
    assert [task["user_id"] for task in (await alice.get("/api/tasks")).json()] == ["alice"]
