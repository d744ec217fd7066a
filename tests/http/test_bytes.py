"""What a client gets that knows nothing of pages, conditions and keys: to the byte what it always was."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from dependency_injector.providers import Object

from application.todo_list import CHUNK
from tests.http.conftest import Contract, bearer, client, container

Client = httpx2.AsyncClient
NOON = datetime(2026, 1, 4, 12, 0, 0, 123456, tzinfo=UTC)
MILK = (
    b'{"id":1,"user_id":"alice","title":"Buy milk","description":null,"completed":false,"status":"incomplete",'
    b'"created_at":"2026-01-04T12:00:00.123456Z","updated_at":"2026-01-04T12:00:00.123456Z"}'
)
TEA = (
    b'{"id":1,"user_id":"alice","title":"Buy tea","description":"gr\xc3\xbcn","completed":false,"status":"incomplete",'
    b'"created_at":"2026-01-04T12:00:00.123456Z","updated_at":"2026-01-04T12:00:00.123457Z"}'
)
DONE = TEA.replace(b'false,"status":"incomplete"', b'true,"status":"complete"').replace(b"123457", b"123458")
MISSING = (
    b'{"status":404,"title":"Not Found","code":"task_not_found","detail":"Task not found",'
    b'"error":"Task not found","request_id":"r1"}'
)


@pytest.fixture
async def web() -> AsyncIterator[Client]:
    wiring = container()
    wiring.now.override(Object(lambda: NOON))
    async with client(wiring, **bearer("alice"), **{"X-Request-ID": "r1"}) as hers:
        yield hers


async def test_answers_are_what_they_always_were(web: Client, contract: Contract) -> None:
    at = contract.of_alice
    said: list[tuple[str, str, Any, int, bytes]] = [
        ("GET", at, None, 200, b"[]"),
        ("POST", at, {"title": "Buy milk"}, 201, MILK),
        ("GET", at, None, 200, b"[" + MILK + b"]"),
        ("GET", f"{at}?status=pending", None, 200, b"[" + MILK + b"]"),
        ("GET", f"{at}?completed=true&_t=7", None, 200, b"[]"),
        ("GET", f"{at}/1", None, 200, MILK),
        ("PUT", f"{at}/1", {"title": "Buy milk"}, 200, MILK),
        ("PATCH", f"{at}/1", {"title": "Buy tea", "description": "grün"}, 200, TEA),
        ("PATCH", f"{at}/1/complete", None, 200, DONE),
        ("DELETE", f"{at}/1", None, 204, b""),
        ("DELETE", f"{at}/1", None, 404, MISSING),
        ("GET", f"{at}/1", None, 404, MISSING),
    ]
    for method, address, body, status, expected in said:
        answer = await web.request(method, address, json=body)
        assert (answer.status_code, answer.content) == (status, expected), (method, address)


@pytest.mark.parametrize("size", [CHUNK, CHUNK + 1, 2 * CHUNK + 1])
async def test_a_list_of_any_length_is_one_array(web: Client, contract: Contract, size: int) -> None:
    for number in range(size):
        await web.post(contract.of_alice, json={"title": str(number)})
    answer = await web.get(contract.of_alice)
    assert [task["title"] for task in answer.json()] == [str(number) for number in range(size)]
    assert answer.content.count(b"\n") == answer.content.count(b", ") == 0
    assert ("etag" in answer.headers) is (size <= CHUNK)
