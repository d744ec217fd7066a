"""Requests through nginx with our configuration: request IDs, body limits, buffering, retries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from adapters.better_auth.identity import ExpectedClaims, sign
from domain.values import UserId
from tests.deploy.conftest import Site
from tests.deploy.nginx import free_port, nginx
from tests.faults.scenario import SECRET


@pytest.fixture
async def alice(site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {sign(UserId('alice'), SECRET, ExpectedClaims(), seconds=600)}"}
    async with httpx2.AsyncClient(base_url=site.nginx.address, headers=headers, timeout=30, trust_env=False) as client:
        yield client


async def test_a_valid_request_id_is_kept_and_a_malformed_one_replaced(alice: httpx2.AsyncClient) -> None:
    chosen = await alice.get("/api/tasks", headers={"X-Request-ID": "chosen-by-alice"})
    assert chosen.headers["X-Request-ID"] == "chosen-by-alice"
    forged = await alice.get("/api/tasks", headers={"X-Request-ID": 'a"b'})
    assert len(forged.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("size", [64 * 1024 + 1, 1_000_000])
async def test_a_body_that_is_too_large_gets_the_usual_problem(alice: httpx2.AsyncClient, size: int) -> None:
    response = await alice.post("/api/tasks", content=b" " * size, headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"
    assert response.json()["request_id"] == response.headers["X-Request-ID"]


async def test_a_body_of_64_kib_is_accepted(alice: httpx2.AsyncClient) -> None:
    body = b'{"title": "Buy milk"}'
    response = await alice.post(
        "/api/tasks", content=body + b" " * (64 * 1024 - len(body)), headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 201


async def test_a_long_list_reaches_a_slow_client_without_a_temporary_file(
    site: Site, alice: httpx2.AsyncClient
) -> None:
    await site.cluster.execute(
        "INSERT INTO tasks (user_id, title, description, completed, created_at, updated_at) "
        "SELECT 'alice', 'Buy milk', repeat('x', 1000), false, now(), now() FROM generate_series(1, 5000)"
    )
    async with alice.stream("GET", "/api/tasks") as response:
        await asyncio.sleep(0.5)  # a slow client: the rest of the response is buffered meanwhile
        parts = [part async for part in response.aiter_raw()]
    assert b"".join(parts).count(b'"title":"Buy milk"') >= 5000
    assert "temporary file" not in site.nginx.log


@asynccontextmanager
async def _closing_server() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that closes every connection after the request line; yields its port and the request lines."""
    request_lines: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_lines.append(await reader.readline())
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], request_lines


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("POST", 1), ("PATCH", 1)])
async def test_only_idempotent_requests_are_retried_on_the_other_server(
    tmp_path: Path, method: str, times: int
) -> None:
    async with (
        _closing_server() as (first, first_requests),
        _closing_server() as (second, second_requests),
        nginx(tmp_path / "nginx", first, second) as proxy,
        httpx2.AsyncClient(base_url=proxy.address, trust_env=False) as client,
    ):
        response = await client.request(method, "/api/tasks", content=b"{}")
    assert len(first_requests + second_requests) == times
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.json()["code"] == "server_unavailable"


async def test_a_write_goes_to_the_other_server_if_the_first_refuses_connections(tmp_path: Path) -> None:
    async with (
        _closing_server() as (second, request_lines),
        nginx(tmp_path / "nginx", free_port(), second) as proxy,
        httpx2.AsyncClient(base_url=proxy.address, trust_env=False) as client,
    ):
        for _ in range(4):
            await client.post("/api/tasks", content=b"{}")
    assert len(request_lines) == 4
