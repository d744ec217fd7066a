"""KEEP_UNKNOWN_MEMBERS: members that have no meaning here are kept and sent back, in both contracts."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from entrypoints.container import Container
from tests.http.conftest import Contract, assert_problem, bearer, client, invalid_fields, shared

Client = httpx2.AsyncClient
JSON = {"Content-Type": "application/json"}
SENT = {"priority": "high", "due_date": "2026-12-24", "tags": ["home", {"id": 7}], "recurrence": {"every": 1.5}}


@pytest.fixture
def wiring() -> Iterator[Container]:
    with shared(keep_unknown_members=True) as wiring:
        yield wiring


@pytest.fixture
async def alice(wiring: Container) -> AsyncIterator[Client]:
    async with client(wiring, **bearer("alice")) as hers:
        yield hers


async def create_task(alice: Client, contract: Contract, **members: object) -> dict[str, Any]:
    response = await alice.post(contract.alice_path, json={"title": "Buy milk", **members})
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


async def test_unknown_members_come_back_at_the_top_level(alice: Client, contract: Contract) -> None:
    task = await create_task(alice, contract, **SENT)
    assert task.items() >= SENT.items()
    assert len(task) == 8 + len(SENT)
    plain = await create_task(alice, contract)
    assert len(plain) == 8
    assert (await alice.get(f"{contract.alice_path}/{task['id']}")).json() == task
    for query in ("", "?limit=5", "?order=asc&search=milk"):
        assert (await alice.get(contract.alice_path + query)).json() == [task, plain]
    completed = await alice.patch(f"{contract.alice_path}/{task['id']}/complete", json={"completed": True, "by": "x"})
    assert completed.json().items() >= SENT.items()
    assert "by" not in completed.json()


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_change_is_merged_by_member_and_null_removes_one(
    alice: Client, contract: Contract, method: str
) -> None:
    task = await create_task(alice, contract, **SENT)
    url = f"{contract.alice_path}/{task['id']}"
    response = await alice.request(method, url, json={"tags": None, "priority": "low", "color": "red"})
    changed = response.json()
    expected = {**task, "priority": "low", "color": "red", "updated_at": changed["updated_at"]}
    del expected["tags"]
    assert changed == expected
    assert changed["updated_at"] > task["updated_at"]
    assert (await alice.get(url)).json() == changed
    again = await alice.request(method, url, json={**changed, "title": "Buy milk"})
    assert (again.json(), again.headers["etag"]) == (changed, response.headers["etag"])


async def test_members_of_a_task_are_never_replaced(alice: Client, contract: Contract) -> None:
    own = {"id": 999, "user_id": "bob", "created_at": "1999", "updated_at": "1999"}
    task = await create_task(alice, contract, **own, extras={"a": 1}, toggled=True, priority=None)
    assert task["user_id"] == "alice"
    assert task["id"] != 999
    assert (task["extras"], task["toggled"], task["completed"]) == ({"a": 1}, True, False)
    assert "priority" not in task
    assert "1999" not in str(task)


async def test_an_etag_changes_with_a_member(alice: Client, contract: Contract) -> None:
    task = await create_task(alice, contract, priority=1)
    url = f"{contract.alice_path}/{task['id']}"
    tag, listed = (await alice.get(url)).headers["etag"], (await alice.get(contract.alice_path)).headers["etag"]
    assert (await alice.patch(url, json={"priority": 2})).status_code == 200
    assert (await alice.get(url, headers={"If-None-Match": tag})).status_code == 200
    assert (await alice.get(contract.alice_path, headers={"If-None-Match": listed})).status_code == 200
    assert_problem(await alice.patch(url, json={"priority": 3}, headers={"If-Match": tag}), 412, "task_changed")


async def test_an_idempotency_key_stands_for_the_members_too(alice: Client, contract: Contract) -> None:
    async def post(**members: object) -> httpx2.Response:
        body = {"title": "Buy milk", **members}
        return await alice.post(contract.alice_path, json=body, headers={"Idempotency-Key": "k"})

    first = await post(priority=1, tags=[])
    assert (await post(tags=[], priority=1)).json() == first.json()
    assert_problem(await post(tags=[], priority=2), contract.invalid, "idempotency_key_reused")


@pytest.mark.parametrize(
    "members",
    [
        {str(number): number for number in range(33)},
        {"notes": "x" * 4096},
        {"notes": "a\0b"},
        {"a\0b": 1},
    ],
    ids=["33 members", "4 KiB", "NUL", "NUL in a name"],
)
async def test_too_many_or_unstorable_members_are_invalid(
    alice: Client, contract: Contract, members: dict[str, object]
) -> None:
    task = await create_task(alice, contract, priority=1)
    url = f"{contract.alice_path}/{task['id']}"
    assert invalid_fields(await alice.post(contract.alice_path, json={"title": "x", **members}), contract) == ["body"]
    assert invalid_fields(await alice.put(url, json=members), contract) == ["body"]
    assert (await alice.get(contract.alice_path)).json() == [task]


@pytest.mark.parametrize("number", ["1e400", "-1e999", "NaN"])
async def test_numbers_that_json_cannot_return_are_invalid(alice: Client, contract: Contract, number: str) -> None:
    body = f'{{"title": "x", "n": [{number}]}}'
    assert invalid_fields(await alice.post(contract.alice_path, content=body, headers=JSON), contract) == ["body"]


@pytest.mark.parametrize("number", ["1e300", "123456789012345678901234567890", "-0.0", "5e-324", "0.1"])
async def test_other_numbers_keep_their_value(alice: Client, contract: Contract, number: str) -> None:
    body = f'{{"title": "x", "n": {number}}}'
    response = await alice.post(contract.alice_path, content=body, headers=JSON)
    assert response.json()["n"] == (int(number) if number.isdigit() else float(number))
    assert (await alice.get(contract.alice_path)).json() == [response.json()]


async def test_a_list_with_members_can_be_deleted_by_its_etag(alice: Client, contract: Contract) -> None:
    await create_task(alice, contract, priority=1)
    tag = (await alice.get(contract.alice_path)).headers["etag"]
    response = await alice.delete(f"{contract.alice_path}?all=true", headers={"If-Match": tag})
    assert response.json() == {"count": 1}
