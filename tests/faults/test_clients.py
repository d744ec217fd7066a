"""Clients that come in crowds, hang up, dawdle, send too much, or nothing at all."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from adapters.better_auth.identity import ExpectedClaims, sign
from domain.values import UserId
from tests.faults.load import Load, User
from tests.faults.program import program
from tests.faults.scenario import NO_ERROR, SECRET, Stage, answers_within, quantile_within

pytestmark = pytest.mark.scenario

CROWD = 150  # on each contract
MIB = 2**20
CONNECTIONS = 8  # to the database, by default


@pytest.fixture(scope="module")
async def near(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A program beside its database: the proxy runs in this process, which its clients keep busy enough."""
    async with program(tmp_path_factory.mktemp("near"), stage.cluster.conninfo) as serving:
        yield replace(stage, address=serving.address, process=serving.process.pid)


@dataclass(frozen=True)
class Use:
    """What the serving process holds."""

    descriptors: int
    threads: int
    mib: int


def use(stage: Stage) -> Use:
    process = Path(f"/proc/{stage.process}")
    resident = int((process / "statm").read_text().split()[1]) * 4096
    return Use(len([*(process / "fd").iterdir()]), len([*(process / "task").iterdir()]), resident // MIB)


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


async def come_in_a_crowd(loads: Sequence[Load]) -> None:
    """Everybody in the crowd works through a day at once."""

    async def day(user: User) -> None:
        made = await user.create()
        await user.list()
        if made.done:
            await user.complete(made.answer["id"])
            await user.get(made.answer["id"])
            await user.delete(made.answer["id"])

    crowd = [load_.guest(f"crowd{number}") for load_ in loads for number in range(CROWD)]
    await asyncio.gather(*map(day, crowd))


async def hang_up(stage: Stage) -> None:
    """Four hundred ask, and are gone."""
    new = json.dumps({"title": "hung up"}).encode()
    asked = [request("reader"), request("writer", f"Content-Length: {len(new)}", body=new)]
    for _ in range(8):
        await asyncio.sleep(0.2)
        async with connections(stage, 50) as writers:
            for number, writer in enumerate(writers):
                writer.write(asked[number % 2])
                with suppress(ConnectionError):
                    await writer.drain()


async def dawdle(stage: Stage, while_they_do: Callable[[], Awaitable[object]]) -> None:
    """Four hundred send half a head, or half a body, and stay."""
    halves = [request("slow")[:60], request("slow", "Content-Length: 100", body=b'{"title": ')]
    async with connections(stage, 400) as writers:
        for number, writer in enumerate(writers):
            writer.write(halves[number % 2])
            await writer.drain()
        await while_they_do()


async def send_too_much(stage: Stage) -> None:
    """Ten megabytes from each of twenty, announced by half of them and in chunks by the others."""
    ways = [("Content-Length: 10000000", b"x" * 100_000), ("Transfer-Encoding: chunked", b"186a0\r\n" + b"x" * 100_002)]

    async def send(writer: asyncio.StreamWriter, field: str, piece: bytes) -> None:
        writer.write(request("much", field))
        with suppress(ConnectionError):
            for _ in range(100):
                writer.write(piece)
                await writer.drain()

    async with connections(stage, 20) as writers:
        await asyncio.gather(*(send(writer, *ways[number % 2]) for number, writer in enumerate(writers)))


async def settled(stage: Stage, least: Use) -> Use:
    """What is held once everybody is gone. Connections end a moment after their clients."""
    for _ in range(100):
        if use(stage).descriptors <= least.descriptors + CONNECTIONS:
            break
        await asyncio.sleep(0.1)
    return use(stage)


async def test_a_crowd_is_served_or_told_and_the_database_sees_few_of_it(near: Stage) -> None:
    most = 0

    async def watch() -> None:
        nonlocal most
        async with await near.cluster.connect() as watching:
            while True:
                cursor = await watching.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'todo'")
                most = max(most, *(await cursor.fetchone() or [0]))
                await asyncio.sleep(0.05)

    async with near.fault("300 clients at once", answers_within(6)) as fault:
        watching = asyncio.create_task(watch())
        await come_in_a_crowd(fault.loads)
        watching.cancel()
        fault.expect(0 < most <= CONNECTIONS, f"at most {CONNECTIONS} sessions")


async def test_clients_that_hang_up_cost_nothing_afterwards(near: Stage) -> None:
    async with near.fault("400 hang up", NO_ERROR, quantile_within(0.99, 0.5)) as fault:
        before = use(near)
        await hang_up(near)
        after = await settled(near, before)
        fault.expect(after.descriptors <= before.descriptors + CONNECTIONS, "no descriptor leaked")


async def test_clients_that_dawdle_hold_up_nobody(near: Stage) -> None:
    async with near.fault("400 half-sent requests", NO_ERROR, quantile_within(0.99, 0.5)) as fault:
        before = use(near)
        await dawdle(near, lambda: asyncio.sleep(3))
        after = await settled(near, before)
        fault.expect(after.descriptors <= before.descriptors + CONNECTIONS, "no descriptor leaked")


async def test_bodies_of_ten_megabytes_are_not_kept(near: Stage) -> None:
    async with near.fault("20 bodies of 10 MB", NO_ERROR, quantile_within(0.99, 0.5)) as fault:
        before = use(near)
        await send_too_much(near)
        fault.expect(use(near).mib <= before.mib + 30, "30 MiB more at most")


async def test_what_needs_no_database_is_answered_while_it_is_away(stage: Stage) -> None:
    async with stage.fault("away: what needs none") as fault:
        stage.between.go_deaf()
        slowest = 0.0
        async with httpx2.AsyncClient(base_url=stage.address, timeout=20, trust_env=False) as anybody:
            for _ in range(10):
                for status, method, path, options in _needing_no_database():
                    answer = await anybody.request(method, path, **options)
                    fault.expect(answer.status_code == status, f"{status} for {method} {path}")
                    slowest = max(slowest, answer.elapsed.total_seconds())
                await asyncio.sleep(0.3)
        fault.expect(slowest < 0.5, "answered within 0.5 s")
        await stage.between.listen()
        fault.ends()


def _needing_no_database() -> list[tuple[int, str, str, dict[str, Any]]]:
    mine = {"Authorization": f"Bearer {token('u')}"}
    bad: dict[str, Any] = {"headers": {**mine, "Content-Type": "application/json"}, "content": b'{"title": 7}'}
    preflight = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    return [
        (401, "GET", "/api/tasks", {}),
        (401, "GET", "/api/u/tasks", {"headers": {"Authorization": "Bearer nonsense"}}),
        (403, "GET", "/api/somebody/tasks", {"headers": mine}),
        (404, "GET", "/api/u/nothing", {"headers": mine}),
        (405, "DELETE", "/api/tasks", {"headers": mine}),
        (422, "POST", "/api/tasks", bad),
        (400, "POST", "/api/u/tasks", bad),
        (204, "OPTIONS", "/api/tasks", {"headers": preflight}),
        (200, "GET", "/healthz", {}),
    ]


async def test_when_nobody_asks_the_database_is_left_alone(stage: Stage) -> None:
    async with stage.fault("idle for 10 s", NO_ERROR) as fault:
        await fault.all_sleep()
        await asyncio.sleep(0.5)
        passed = stage.between.passed
        async with httpx2.AsyncClient(base_url=stage.address, trust_env=False) as probe:
            for _ in range(10):
                assert (await probe.get("/healthz")).status_code == 200
                await asyncio.sleep(1)
        fault.expect(stage.between.passed == passed, "not a byte to the database")
        fault.all_wake()


async def test_after_three_rounds_of_all_this_nothing_has_grown(near: Stage) -> None:
    before = use(near)
    async with near.fault("three rounds of misuse") as fault:
        held = []
        for _ in range(3):
            await come_in_a_crowd(fault.loads)
            await hang_up(near)
            await dawdle(near, lambda: asyncio.sleep(0.5))
            await send_too_much(near)
            held.append(use(near))
        fault.expect(held[-1].threads <= held[0].threads, "as many threads")
        fault.expect(held[-1].mib <= held[0].mib + 10, "10 MiB more at most")
    assert (await settled(near, before)).descriptors <= before.descriptors + CONNECTIONS
