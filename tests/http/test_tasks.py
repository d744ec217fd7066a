"""What only `/api/tasks` says."""

import httpx2
import pytest

Client = httpx2.AsyncClient


@pytest.mark.parametrize("empty", [{}, {"content": b"", "headers": {"Content-Type": "application/json"}}, {"json": {}}])
async def test_complete_without_a_body_toggles(alice: Client, empty: dict[str, object]) -> None:
    task = (await alice.post("/api/tasks", json={"title": "Buy milk"})).json()
    address = f"/api/tasks/{task['id']}/complete"
    answers = [await alice.patch(address, **empty) for _ in range(3)]  # type: ignore[arg-type]
    assert [answer.json()["completed"] for answer in answers] == [True, False, True]


async def test_the_owner_is_whoever_the_token_speaks_for(alice: Client, bob: Client) -> None:
    await alice.post("/api/tasks", json={"title": "hers", "user_id": "bob"})
    assert (await bob.get("/api/tasks")).json() == []
    assert [task["user_id"] for task in (await alice.get("/api/tasks")).json()] == ["alice"]
