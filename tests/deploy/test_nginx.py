"""What nginx adds on the way: nothing that a client or the API would have to know of."""

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


async def test_the_id_of_a_request_is_the_client_s_or_a_new_one(alice: httpx2.AsyncClient) -> None:
    chosen = await alice.get("/api/tasks", headers={"X-Request-ID": "chosen-by-alice"})
    assert chosen.headers["X-Request-ID"] == "chosen-by-alice"
    forged = await alice.get("/api/tasks", headers={"X-Request-ID": 'a"b'})
    assert len(forged.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("size", [64 * 1024 + 1, 1_000_000])
async def test_a_body_that_is_too_large_is_refused_with_the_body_that_every_error_has(
    alice: httpx2.AsyncClient, size: int
) -> None:
    answer = await alice.post("/api/tasks", content=b" " * size, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


async def test_a_body_of_64_kib_gets_through(alice: httpx2.AsyncClient) -> None:
    body = b'{"title": "Buy milk"}'
    answer = await alice.post(
        "/api/tasks", content=body + b" " * (64 * 1024 - len(body)), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 201


async def test_a_long_list_reaches_a_slow_client_whole_and_without_a_file(
    site: Site, alice: httpx2.AsyncClient
) -> None:
    await site.cluster.execute(
        "INSERT INTO tasks (user_id, title, description, completed, created_at, updated_at) "
        "SELECT 'alice', 'Buy milk', repeat('x', 1000), false, now(), now() FROM generate_series(1, 5000)"
    )
    async with alice.stream("GET", "/api/tasks") as answer:
        await asyncio.sleep(0.5)  # the client is slow: the rest waits at the server
        parts = [part async for part in answer.aiter_raw()]
    assert b"".join(parts).count(b'"title":"Buy milk"') >= 5000
    assert "temporary file" not in site.nginx.log


@asynccontextmanager
async def _hangs_up() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that closes the connection when it has heard a request; its port, and the request lines."""
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heard


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("POST", 1), ("PATCH", 1)])
async def test_only_what_may_be_repeated_is_sent_to_the_other_server(tmp_path: Path, method: str, times: int) -> None:
    async with (
        _hangs_up() as (first, heard),
        _hangs_up() as (second, heard_too),
        nginx(tmp_path / "nginx", first, second) as front,
        httpx2.AsyncClient(base_url=front.address, trust_env=False) as client,
    ):
        answer = await client.request(method, "/api/tasks", content=b"{}")
    assert len(heard + heard_too) == times
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["code"] == "server_unavailable"


async def test_a_write_reaches_the_other_server_where_the_first_refuses_connections(tmp_path: Path) -> None:
    async with (
        _hangs_up() as (second, heard),
        nginx(tmp_path / "nginx", free_port(), second) as front,
        httpx2.AsyncClient(base_url=front.address, trust_env=False) as client,
    ):
        for _ in range(4):
            await client.post("/api/tasks", content=b"{}")
    assert len(heard) == 4
