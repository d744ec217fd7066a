"""Creations that may be repeated (the header field `Idempotency-Key`)."""

import asyncio

import httpx2
import pytest

from tests.http.conftest import Contract, faults, is_problem

Client = httpx2.AsyncClient
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


async def test_a_repeated_creation_gets_the_first_answer_again(alice: Client, contract: Contract) -> None:
    first = await alice.post(contract.of_alice, json={"title": "Buy milk"}, headers=KEY)
    await alice.patch(first.headers["location"], json={"title": "Buy tea"})
    again = await alice.post(contract.of_alice, json={"title": "Buy milk"}, headers=KEY)
    assert (again.status_code, again.content) == (first.status_code, first.content) == (201, first.content)
    for name in ("location", "etag"):
        assert again.headers[name] == first.headers[name]
    assert len((await alice.get(contract.of_alice)).json()) == 1


async def test_the_same_task_in_other_words_is_the_same(alice: Client, contract: Contract) -> None:
    bodies = [b'{"title": "a", "completed": true}', b'{"status":"complete","title":"\\u0061 ","x":1}']
    answers = [await alice.post(contract.of_alice, content=body, headers=KEY) for body in bodies]
    assert answers[0].content == answers[1].content


async def test_a_key_that_was_used_for_another_task_is_refused(alice: Client, contract: Contract) -> None:
    await alice.post(contract.of_alice, json={"title": "Buy milk"}, headers=KEY)
    answer = await alice.post(contract.of_alice, json={"title": "Buy tea"}, headers=KEY)
    is_problem(answer, contract.invalid, "idempotency_key_reused")
    assert len((await alice.get(contract.of_alice)).json()) == 1


async def test_both_contracts_know_each_other_s_keys(alice: Client) -> None:
    first = await alice.post("/api/tasks", json={"title": "Buy milk"}, headers=KEY)
    again = await alice.post("/api/alice/tasks", json={"title": "Buy milk"}, headers=KEY)
    assert again.content == first.content


async def test_everybody_has_their_own_keys(alice: Client, bob: Client, contract: Contract) -> None:
    mine = await alice.post(contract.of_alice, json={"title": "Buy milk"}, headers=KEY)
    theirs = await bob.post(contract.of_bob, json={"title": "Buy milk"}, headers=KEY)
    assert mine.json()["id"] != theirs.json()["id"]
    assert theirs.json()["user_id"] == "bob"


async def test_of_several_at_once_there_is_one_task(alice: Client, contract: Contract) -> None:
    answers = await asyncio.gather(
        *(alice.post(contract.of_alice, json={"title": "Buy milk"}, headers=KEY) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize("key", ["", " ", "two words", "é", "x" * 256, "a, b"])
async def test_a_key_that_cannot_be_one_is_invalid(alice: Client, contract: Contract, key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1"))]
    answer = await alice.post(contract.of_alice, json={"title": "Buy milk"}, headers=headers)
    assert faults(answer, contract) == ["Idempotency-Key"]


async def test_without_a_key_every_creation_is_a_task(alice: Client, contract: Contract) -> None:
    for _ in range(2):
        await alice.post(contract.of_alice, json={"title": "Buy milk"})
    assert len((await alice.get(contract.of_alice)).json()) == 2
