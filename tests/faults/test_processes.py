"""The program itself: stopped, killed, robbed of a worker, started too early, started by several at once."""

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
async def at_work(address: str) -> AsyncIterator[Sequence[Load]]:
    async with AsyncExitStack() as stack:
        users = next(names)
        loads = [await stack.enter_async_context(load(address, contract, SECRET, users)) for contract in CONTRACTS]
        await asyncio.sleep(2.5)
        yield loads


async def judge(
    name: str, stage: Stage, loads: Sequence[Load], may_break: Callable[[Operation], bool], must: str, *missed: str
) -> None:
    """Looks at everything once more through another server, and says whether what users were told is true of it.

    A request `may_break` if its connection may end before it is answered.
    """
    broken = [*missed]
    for load_ in loads:
        await load_.sleep()
        load_._http.base_url = httpx2.URL(stage.address)
        await asyncio.gather(*(user.list() for user in load_.users))
        wrong = [c for c in history.complaints(load_.operations, load_.contract) if "was answered None" not in c]
        lost = [operation for operation in load_.operations if operation.status is None and not may_break(operation)]
        wrong += [f"{operation.action} was not answered" for operation in lost]
        broken += wrong
        failed = [operation for operation in load_.operations if operation.failed]
        slowest = max(operation.seconds for operation in load_.operations if operation.done)
        held = "; ".join(f"not: {words}" for words in [*missed, *wrong[:1]]) or "held"
        stage.rows.append(
            Row(name, load_.contract, len(load_.operations), len(failed), f"{slowest:.2f} s", "", must, held)
        )
    assert broken == []


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_stop_answers_everything_that_was_accepted(stage: Stage, tmp_path: Path) -> None:
    async with program(tmp_path, stage.cluster.conninfo) as serving, at_work(serving.address) as loads:
        asked = now()
        code = await asyncio.to_thread(serving.stop)
        missed = [] if code == 0 and now() - asked <= 10 else ["exit 0 within 10 s"]
        # A connection that lies idle is closed, and a request may be on its way into it at that very moment.
        must = "accepted requests answered, exit 0 within 10 s"
        await judge("SIGTERM under load", stage, loads, lambda one: one.began > asked - 0.01, must, *missed)


async def test_what_was_acknowledged_outlives_a_kill(stage: Stage, tmp_path: Path) -> None:
    async with program(tmp_path, stage.cluster.conninfo) as serving, at_work(serving.address) as loads:
        killed = now()
        await asyncio.to_thread(serving.stop, signal.SIGKILL)
        must = "nothing acknowledged is lost"
        await judge("SIGKILL under load", stage, loads, lambda one: one.ended > killed, must)


async def test_a_worker_that_was_killed_is_replaced_and_missed_by_few(stage: Stage, tmp_path: Path) -> None:
    async with program(tmp_path, stage.cluster.conninfo, "--workers", "3") as serving:
        first = await until(lambda: _three(serving.process.pid))
        await until(lambda: _ready(serving.address))
        async with at_work(serving.address) as loads:
            killed = now()
            os.kill(first[0], signal.SIGKILL)
            again = await until(lambda: _three(serving.process.pid, but=first[0]))
            took = now() - killed
            await asyncio.sleep(3)
            assert len({*first, *again}) == 4
            missed = [] if took <= 10 else ["replaced within 10 s"]
            must = "the others serve, replaced within 10 s"
            await judge(
                "one of three workers killed", stage, loads, lambda one: one.began < killed + 0.5, must, *missed
            )
        assert await asyncio.to_thread(serving.stop) == 0
        assert not [pid for pid in again if _runs(pid)]


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


async def until(look: Callable[[], Awaitable[Found]]) -> Found:
    """What is found at last. Raises TimeoutError."""
    patience = time.monotonic() + TIMEOUT
    while not (found := await look()):
        if time.monotonic() > patience:
            raise TimeoutError
        await asyncio.sleep(0.05)
    return found


async def _status(address: str, path: str, user: str | None = None) -> int:
    async with httpx2.AsyncClient(base_url=address, timeout=TIMEOUT, trust_env=False) as client:
        return (await client.get(path)).status_code


async def _ready(address: str) -> bool:
    return await _status(address, "/readyz") == 200


async def test_started_before_its_database_it_stays_and_serves_when_that_comes(stage: Stage, tmp_path: Path) -> None:
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


async def test_four_that_start_at_once_on_an_empty_database_all_become_ready(stage: Stage, tmp_path: Path) -> None:
    await stage.cluster.execute("CREATE DATABASE empty OWNER todo", database="postgres")
    empty = stage.cluster.conninfo.replace("dbname=todo", "dbname=empty")
    settings = {"DATABASE_URL": url(empty), "BETTER_AUTH_SECRET": SECRET}
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    migrated = await asyncio.gather(*(asyncio.to_thread(Todo(folder).run, "migrate", **settings) for folder in folders))
    assert [each.returncode for each in migrated] == [0] * 4, [each.stderr for each in migrated]
    async with AsyncExitStack() as stack:
        entering = [stack.enter_async_context(program(folder, empty)) for folder in folders]
        for serving in [await each for each in entering]:
            assert await until(lambda address=serving.address: _ready(address))  # type: ignore[misc]
    stage.rows.append(Row("four start on an empty database", 1, 4, 0, "", "", "all become ready", "held"))


async def test_four_first_runs_at_once_in_one_folder_share_a_database(stage: Stage, tmp_path: Path) -> None:
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
