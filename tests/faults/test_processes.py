"""The server process: stopped, killed, losing a worker, started before its database, started concurrently."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import httpx2
import pytest

from tests.cli.conftest import TIMEOUT, Todo
from tests.databases import url
from tests.faults import history
from tests.faults.load import CONTRACTS, Load, Operation, load
from tests.faults.program import program
from tests.faults.proxy import Proxy
from tests.faults.report import Row
from tests.faults.scenario import SECRET, Stage

pytestmark = pytest.mark.scenario

names = iter(f"p{number}" for number in range(1000))


@asynccontextmanager
async def under_load(address: str) -> AsyncIterator[Sequence[Load]]:
    async with AsyncExitStack() as stack:
        users = next(names)
        loads = [await stack.enter_async_context(load(address, contract, SECRET, users)) for contract in CONTRACTS]
        await asyncio.sleep(2.5)
        yield loads


async def check(
    name: str, stage: Stage, loads: Sequence[Load], may_break: Callable[[Operation], bool], must: str, *missed: str
) -> None:
    """Lists all tasks through another server, and checks the histories.

    `may_break` says whether the connection of a request may end without a response.
    """
    broken = [*missed]
    for load_ in loads:
        await load_.pause()
        load_._http.base_url = httpx2.URL(stage.address)
        await asyncio.gather(*(user.list() for user in load_.users))
        wrong = [c for c in history.violations(load_.operations, load_.contract) if "got None" not in c]
        lost = [operation for operation in load_.operations if operation.status is None and not may_break(operation)]
        wrong += [f"{operation.action} got no response" for operation in lost]
        broken += wrong
        failed = [operation for operation in load_.operations if operation.failed]
        slowest = max(operation.seconds for operation in load_.operations if operation.done)
        held = "; ".join(f"not: {text}" for text in [*missed, *wrong[:1]]) or "held"
        stage.rows.append(
            Row(name, load_.contract, len(load_.operations), len(failed), f"{slowest:.2f} s", "", must, held)
        )
    assert broken == []


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_graceful_shutdown_completes_every_accepted_request(stage: Stage, tmp_path: Path) -> None:
    async with program(tmp_path, stage.cluster.conninfo) as serving, under_load(serving.address) as loads:
        stopping = now()
        code = await asyncio.to_thread(serving.stop)
        missed = [] if code == 0 and now() - stopping <= 10 else ["exit 0 within 10 s"]
        # Idle connections are closed, and a request may have been sent on one just before.
        must = "accepted requests complete, exit 0 within 10 s"
        await check("SIGTERM under load", stage, loads, lambda one: one.began > stopping - 0.01, must, *missed)


async def test_acknowledged_writes_survive_a_kill(stage: Stage, tmp_path: Path) -> None:
    async with program(tmp_path, stage.cluster.conninfo) as serving, under_load(serving.address) as loads:
        killed = now()
        await asyncio.to_thread(serving.stop, signal.SIGKILL)
        must = "nothing acknowledged is lost"
        await check("SIGKILL under load", stage, loads, lambda one: one.ended > killed, must)


async def test_a_killed_worker_is_replaced_while_the_others_serve(stage: Stage, tmp_path: Path) -> None:
    async with program(tmp_path, stage.cluster.conninfo, "--workers", "3") as serving:
        first = await until(lambda: _three(serving.process.pid))
        await until(lambda: _ready(serving.address))
        async with under_load(serving.address) as loads:
            killed = now()
            os.kill(first[0], signal.SIGKILL)
            replaced = await until(lambda: _three(serving.process.pid, but=first[0]))
            took = now() - killed
            await asyncio.sleep(3)
            assert len({*first, *replaced}) == 4
            missed = [] if took <= 10 else ["replaced within 10 s"]
            must = "the others serve, replaced within 10 s"
            await check(
                "one of three workers killed", stage, loads, lambda one: one.began < killed + 0.5, must, *missed
            )
        assert await asyncio.to_thread(serving.stop) == 0
        assert not [pid for pid in replaced if _runs(pid)]


async def _three(parent: int, but: int = 0) -> list[int]:
    found = [pid for pid in _workers(parent) if pid != but]
    return found if len(found) == 3 else []


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _workers(parent: int) -> Iterator[int]:
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            yield int(child)


Found = TypeVar("Found")


async def until(condition: Callable[[], Awaitable[Found]]) -> Found:
    """Polls until the result is truthy, and returns it. Raises TimeoutError."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := await condition()):
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.05)
    return found


async def _status(address: str, path: str) -> int:
    async with httpx2.AsyncClient(base_url=address, timeout=TIMEOUT, trust_env=False) as client:
        return (await client.get(path)).status_code


async def _ready(address: str) -> bool:
    return await _status(address, "/readyz") == 200


async def test_a_server_started_before_its_database_serves_once_it_is_reachable(stage: Stage, tmp_path: Path) -> None:
    between = Proxy(stage.cluster.conninfo)
    await between.listen()
    between.refuse()
    async with program(tmp_path, between.conninfo) as serving:
        assert await _status(serving.address, "/healthz") == 200
        assert await _status(serving.address, "/readyz") == 503
        await between.listen()
        began = now()
        assert await until(lambda: _ready(serving.address))
        took = now() - began
        assert serving.process.poll() is None
    await between.close()
    stage.rows.append(Row("started before its database", 1, 3, 1, "", f"{took:.2f} s", "back within 1.5 s", "held"))
    assert took <= 1.5


async def test_four_servers_started_together_on_an_empty_database_all_become_ready(
    stage: Stage, tmp_path: Path
) -> None:
    await stage.cluster.execute("CREATE DATABASE empty OWNER todo", database="postgres")
    empty = stage.cluster.conninfo.replace("dbname=todo", "dbname=empty")
    settings = {"DATABASE_URL": url(empty), "BETTER_AUTH_SECRET": SECRET}
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    migrated = await asyncio.gather(*(asyncio.to_thread(Todo(folder).run, "migrate", **settings) for folder in folders))
    assert [run.returncode for run in migrated] == [0] * 4, [run.stderr for run in migrated]
    async with AsyncExitStack() as stack:
        entering = [stack.enter_async_context(program(folder, empty)) for folder in folders]
        for serving in [await each for each in entering]:
            assert await until(lambda address=serving.address: _ready(address))  # type: ignore[misc]
    stage.rows.append(Row("four start on an empty database", 1, 4, 0, "", "", "all become ready", "held"))


async def test_four_concurrent_first_runs_in_one_folder_share_a_database(stage: Stage, tmp_path: Path) -> None:
    todo = Todo(tmp_path)
    running = await asyncio.gather(*(asyncio.to_thread(todo.serve().__enter__) for _ in range(4)))
    try:
        for serving in running:
            assert await _ready(serving.address)
    finally:
        for serving in running:
            await asyncio.to_thread(serving.__exit__)
    assert todo.postgres() is None
    stage.rows.append(Row("four first runs in one folder", 1, 4, 0, "", "", "all become ready", "held"))
