"""Exact bytes of responses to clients that use no pagination, conditional requests or idempotency keys."""

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
    b'"error":"Task not found","message":"Task not found","request_id":"r1"}'
)


@pytest.fixture
async def web() -> AsyncIterator[Client]:
    wiring = container()
    wiring.now.override(Object(lambda: NOON))
    async with client(wiring, **bearer("alice"), **{"X-Request-ID": "r1"}) as hers:
        yield hers


async def test_responses_are_byte_for_byte_stable(web: Client, contract: Contract) -> None:
    tasks = contract.alice_path
    exchanges: list[tuple[str, str, Any, int, bytes]] = [
        ("GET", tasks, None, 200, b"[]"),
        ("POST", tasks, {"title": "Buy milk"}, 201, MILK),
        ("GET", tasks, None, 200, b"[" + MILK + b"]"),
        ("GET", f"{tasks}?status=pending", None, 200, b"[" + MILK + b"]"),
        ("GET", f"{tasks}?completed=true&_t=7", None, 200, b"[]"),
        ("GET", f"{tasks}/1", None, 200, MILK),
        ("PUT", f"{tasks}/1", {"title": "Buy milk"}, 200, MILK),
        ("PATCH", f"{tasks}/1", {"title": "Buy tea", "description": "grün"}, 200, TEA),
        ("PATCH", f"{tasks}/1/complete", None, 200, DONE),
        ("DELETE", f"{tasks}/1", None, 204, b""),
        ("DELETE", f"{tasks}/1", None, 404, MISSING),
        ("GET", f"{tasks}/1", None, 404, MISSING),
    ]
    for method, path, body, status, expected in exchanges:
        response = await web.request(method, path, json=body)
        assert (response.status_code, response.content) == (status, expected), (method, path)


@pytest.mark.parametrize("size", [CHUNK, CHUNK + 1, 2 * CHUNK + 1])
async def test_a_list_of_any_length_is_one_json_array(web: Client, contract: Contract, size: int) -> None:
    for number in range(size):
        await web.post(contract.alice_path, json={"title": str(number)})
    response = await web.get(contract.alice_path)
    assert [task["title"] for task in response.json()] == [str(number) for number in range(size)]
    assert response.content.count(b"\n") == response.content.count(b", ") == 0
    assert ("etag" in response.headers) is (size <= CHUNK)
