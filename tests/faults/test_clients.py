"""Misbehaving clients: bursts, disconnects, slow or oversized requests; and no requests at all."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from psycopg.conninfo import make_conninfo

from adapters.better_auth.identity import ExpectedClaims, sign
from domain.values import UserId
from tests.faults.load import Load, User
from tests.faults.program import program
from tests.faults.scenario import NO_ERROR, SECRET, Stage, quantile_within, responses_within

pytestmark = pytest.mark.scenario

BURST = 150  # on each contract
MIB = 2**20
CONNECTIONS = 8  # to the database, by default


@pytest.fixture(scope="module")
async def near(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A program without the proxy, which runs in this process and would compete with the clients for CPU."""
    database = make_conninfo(stage.cluster.conninfo, application_name="near")
    async with program(tmp_path_factory.mktemp("near"), database) as serving:
        yield replace(stage, address=serving.address, process=serving.process.pid)


@dataclass(frozen=True)
class Resources:
    """Resources of the server process."""

    descriptors: int
    threads: int
    mib: int


def resources(stage: Stage) -> Resources:
    process = Path(f"/proc/{stage.process}")
    resident = int((process / "statm").read_text().split()[1]) * 4096
    return Resources(len([*(process / "fd").iterdir()]), len([*(process / "task").iterdir()]), resident // MIB)


def token(user: str) -> str:
    return sign(UserId(user), SECRET, ExpectedClaims(), seconds=3600)


def request(user: str, *fields: str, body: bytes = b"") -> bytes:
    lines = [
        f"{'POST' if fields else 'GET'} /api/tasks HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {token(user)}",
        "Content-Type: application/json",
        *fields,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def connections(stage: Stage, number: int) -> AsyncIterator[list[asyncio.StreamWriter]]:
    host, port = stage.address.removeprefix("http://").split(":")
    opened = await asyncio.gather(*(asyncio.open_connection(host, int(port)) for _ in range(number)))
    try:
        yield [writer for _, writer in opened]
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def send_burst(loads: Sequence[Load]) -> None:
    """All clients of the burst run a short session at once."""

    async def session(user: User) -> None:
        created = await user.create()
        await user.list()
        if created.done:
            await user.complete(created.body["id"])
            await user.get(created.body["id"])
            await user.delete(created.body["id"])

    guests = [load_.guest(f"burst{number}") for load_ in loads for number in range(BURST)]
    await asyncio.gather(*map(session, guests))


async def disconnect_early(stage: Stage) -> None:
    """Four hundred clients send a request and disconnect without reading the response."""
    new = json.dumps({"title": "disconnected"}).encode()
    requests = [request("reader"), request("writer", f"Content-Length: {len(new)}", body=new)]
    for _ in range(8):
        await asyncio.sleep(0.2)
        async with connections(stage, 50) as writers:
            for number, writer in enumerate(writers):
                writer.write(requests[number % 2])
                with suppress(ConnectionError):
                    await writer.drain()


async def send_slowly(stage: Stage, meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Four hundred clients send part of the headers or of the body, and keep the connection open."""
    halves = [request("slow")[:60], request("slow", "Content-Length: 100", body=b'{"title": ')]
    async with connections(stage, 400) as writers:
        for number, writer in enumerate(writers):
            writer.write(halves[number % 2])
            await writer.drain()
        await meanwhile()


async def send_large_bodies(stage: Stage) -> None:
    """Twenty clients send ten megabytes each: half with Content-Length, half chunked."""
    ways = [("Content-Length: 10000000", b"x" * 100_000), ("Transfer-Encoding: chunked", b"186a0\r\n" + b"x" * 100_002)]

    async def send(writer: asyncio.StreamWriter, field: str, piece: bytes) -> None:
        writer.write(request("much", field))
        with suppress(ConnectionError):
            for _ in range(100):
                writer.write(piece)
                await writer.drain()

    async with connections(stage, 20) as writers:
        await asyncio.gather(*(send(writer, *ways[number % 2]) for number, writer in enumerate(writers)))


async def settled(stage: Stage, least: Resources) -> Resources:
    """The resources after all clients have left. The server closes its connections slightly later than they do."""
    for _ in range(100):
        if resources(stage).descriptors <= least.descriptors + CONNECTIONS:
            break
        await asyncio.sleep(0.1)
    return resources(stage)


async def test_a_burst_of_clients_shares_a_few_database_sessions(near: Stage) -> None:
    most = 0

    async def watch() -> None:
        nonlocal most
        async with await near.cluster.connect() as watching:
            while True:
                cursor = await watching.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'near'")
                most = max(most, *(await cursor.fetchone() or [0]))
                await asyncio.sleep(0.05)

    async with near.fault("300 clients at once", responses_within(6)) as fault:
        watching = asyncio.create_task(watch())
        await send_burst(fault.loads)
        watching.cancel()
        fault.expect(0 < most <= CONNECTIONS, f"at most {CONNECTIONS} sessions")


async def test_clients_that_disconnect_early_leak_no_descriptors(near: Stage) -> None:
    async with near.fault("400 hang up", NO_ERROR, quantile_within(0.99, 0.5)) as fault:
        before = resources(near)
        await disconnect_early(near)
        after = await settled(near, before)
        fault.expect(after.descriptors <= before.descriptors + CONNECTIONS, "no descriptor leaked")


async def test_slow_clients_delay_no_other_request(near: Stage) -> None:
    async with near.fault("400 half-sent requests", NO_ERROR, quantile_within(0.99, 0.5)) as fault:
        before = resources(near)
        await send_slowly(near, lambda: asyncio.sleep(3))
        after = await settled(near, before)
        fault.expect(after.descriptors <= before.descriptors + CONNECTIONS, "no descriptor leaked")


async def test_bodies_of_ten_megabytes_are_not_buffered(near: Stage) -> None:
    async with near.fault("20 bodies of 10 MB", NO_ERROR, quantile_within(0.99, 0.5)) as fault:
        before = resources(near)
        await send_large_bodies(near)
        fault.expect(resources(near).mib <= before.mib + 30, "30 MiB more at most")


async def test_requests_that_need_no_database_are_fast_during_an_outage(stage: Stage) -> None:
    async with stage.fault("away: what needs none") as fault:
        stage.between.black_hole()
        slowest = 0.0
        async with httpx2.AsyncClient(base_url=stage.address, timeout=20, trust_env=False) as anonymous:
            for _ in range(10):
                for status, method, path, options in _needing_no_database():
                    response = await anonymous.request(method, path, **options)
                    fault.expect(response.status_code == status, f"{status} for {method} {path}")
                    slowest = max(slowest, response.elapsed.total_seconds())
                await asyncio.sleep(0.3)
        fault.expect(slowest < 0.5, "responses within 0.5 s")
        await stage.between.listen()
        fault.ends()


def _needing_no_database() -> list[tuple[int, str, str, dict[str, Any]]]:
    mine = {"Authorization": f"Bearer {token('u')}"}
    bad: dict[str, Any] = {"headers": {**mine, "Content-Type": "application/json"}, "content": b'{"title": 7}'}
    preflight = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    return [
        (401, "GET", "/api/tasks", {}),
        (401, "GET", "/api/u/tasks", {"headers": {"Authorization": "Bearer nonsense"}}),
        (403, "GET", "/api/another-user/tasks", {"headers": mine}),
        (404, "GET", "/api/u/nothing", {"headers": mine}),
        (405, "DELETE", "/api/tasks", {"headers": mine}),
        (422, "POST", "/api/tasks", bad),
        (400, "POST", "/api/u/tasks", bad),
        (204, "OPTIONS", "/api/tasks", {"headers": preflight}),
        (200, "GET", "/healthz", {}),
    ]


async def test_an_idle_server_sends_nothing_to_the_database(stage: Stage) -> None:
    async with stage.fault("idle for 10 s", NO_ERROR) as fault:
        await fault.pause_load()
        forwarded = await _stable(lambda: stage.between.bytes_forwarded)
        async with httpx2.AsyncClient(base_url=stage.address, trust_env=False) as probe:
            for _ in range(10):
                assert (await probe.get("/healthz")).status_code == 200
                await asyncio.sleep(1)
        fault.expect(stage.between.bytes_forwarded == forwarded, "no byte to the database")
        fault.resume_load()


async def _stable(count: Callable[[], int]) -> int:
    """The count, once it has not changed for half a second. Raises TimeoutError."""
    async with asyncio.timeout(10):
        while True:
            before = count()
            await asyncio.sleep(0.5)
            if count() == before:
                return before


async def test_repeated_misuse_leaks_no_threads_memory_or_descriptors(near: Stage) -> None:
    before = resources(near)
    async with near.fault("three rounds of misuse") as fault:
        after_round = []
        for _ in range(3):
            await send_burst(fault.loads)
            await disconnect_early(near)
            await send_slowly(near, lambda: asyncio.sleep(0.5))
            await send_large_bodies(near)
            after_round.append(resources(near))
        fault.expect(after_round[-1].threads <= after_round[0].threads, "as many threads")
        fault.expect(after_round[-1].mib <= after_round[0].mib + 10, "10 MiB more at most")
    assert (await settled(near, before)).descriptors <= before.descriptors + CONNECTIONS
