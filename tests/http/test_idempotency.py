"""Idempotent creation of tasks: the header `Idempotency-Key`."""

import asyncio

import httpx2
import pytest

from tests.http.conftest import Contract, assert_problem, invalid_fields

Client = httpx2.AsyncClient
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


async def test_a_retried_creation_gets_the_first_response(alice: Client, contract: Contract) -> None:
    first = await alice.post(contract.alice_path, json={"title": "Buy milk"}, headers=KEY)
    await alice.patch(first.headers["location"], json={"title": "Buy tea"})
    again = await alice.post(contract.alice_path, json={"title": "Buy milk"}, headers=KEY)
    assert (again.status_code, again.content) == (first.status_code, first.content) == (201, first.content)
    for name in ("location", "etag"):
        assert again.headers[name] == first.headers[name]
    assert len((await alice.get(contract.alice_path)).json()) == 1


async def test_a_retry_may_encode_the_same_task_differently(alice: Client, contract: Contract) -> None:
    bodies = [b'{"title": "a", "completed": true}', b'{"status":"complete","title":"\\u0061 ","x":1}']
    responses = [await alice.post(contract.alice_path, content=body, headers=KEY) for body in bodies]
    assert responses[0].content == responses[1].content


async def test_a_key_reused_for_a_different_task_is_refused(alice: Client, contract: Contract) -> None:
    await alice.post(contract.alice_path, json={"title": "Buy milk"}, headers=KEY)
    response = await alice.post(contract.alice_path, json={"title": "Buy tea"}, headers=KEY)
    assert_problem(response, contract.invalid, "idempotency_key_reused")
    assert len((await alice.get(contract.alice_path)).json()) == 1


async def test_both_contracts_share_keys(alice: Client) -> None:
    first = await alice.post("/api/tasks", json={"title": "Buy milk"}, headers=KEY)
    again = await alice.post("/api/alice/tasks", json={"title": "Buy milk"}, headers=KEY)
    assert again.content == first.content


async def test_keys_of_different_users_are_independent(alice: Client, bob: Client, contract: Contract) -> None:
    mine = await alice.post(contract.alice_path, json={"title": "Buy milk"}, headers=KEY)
    theirs = await bob.post(contract.bob_path, json={"title": "Buy milk"}, headers=KEY)
    assert mine.json()["id"] != theirs.json()["id"]
    assert theirs.json()["user_id"] == "bob"


async def test_concurrent_creations_with_one_key_create_one_task(alice: Client, contract: Contract) -> None:
    responses = await asyncio.gather(
        *(alice.post(contract.alice_path, json={"title": "Buy milk"}, headers=KEY) for _ in range(10))
    )
    assert {response.status_code for response in responses} == {201}
    assert len({response.content for response in responses}) == 1


@pytest.mark.parametrize("key", ["", " ", "two words", "é", "x" * 256, "a, b"])
async def test_a_malformed_key_is_invalid(alice: Client, contract: Contract, key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1"))]
    response = await alice.post(contract.alice_path, json={"title": "Buy milk"}, headers=headers)
    assert invalid_fields(response, contract) == ["Idempotency-Key"]


async def test_without_a_key_every_request_creates_a_task(alice: Client, contract: Contract) -> None:
    for _ in range(2):
        await alice.post(contract.alice_path, json={"title": "Buy milk"})
    assert len((await alice.get(contract.alice_path)).json()) == 2
