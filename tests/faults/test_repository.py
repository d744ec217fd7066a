"""The repository on PostgreSQL when connections stall or break, and when the database refuses."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from adapters.postgres.connection import Connection
from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from adapters.postgres.timeouts import Timeouts
from domain.errors import StorageUnavailable, TaskNotFound
from domain.task import Task
from tests.contracts.task_repository import ALICE, BOB, KEY, LATER, MILK, NOON, append
from tests.faults.machine import waited
from tests.faults.proxy import Proxy, proxy

T = TypeVar("T")

REMEMBERED = 2**20  # bytes

BUDGET = 0.6
SHORT = Timeouts(call=BUDGET, attempt=0.2, cancel=0.05, connect=0.2, hedge=0.15)
LONG = Timeouts(call=180, attempt=60, cancel=0.05, connect=60, hedge=60)  # no machine is so busy


@pytest.fixture
async def between(pool: Pool, database: str) -> AsyncIterator[Proxy]:
    async with proxy(database) as running:
        yield running


@pytest.fixture
async def tasks(between: Proxy, batching: bool, driver: type[Connection]) -> AsyncIterator[PostgresTaskRepository]:
    """With timeouts that never pass by themselves."""
    pool = Pool(between.conninfo, connections=4, prepare=None, timeouts=LONG, driver=driver)
    yield PostgresTaskRepository(Database(pool, batching=batching), remembered=REMEMBERED)
    await pool.close()


@pytest.fixture
async def impatient(between: Proxy, batching: bool, driver: type[Connection]) -> AsyncIterator[PostgresTaskRepository]:
    """With timeouts that a test can wait for. On a busy machine they may pass without a fault: see `eventually`."""
    pool = Pool(between.conninfo, connections=4, prepare=None, timeouts=SHORT, driver=driver)
    yield PostgresTaskRepository(Database(pool, batching=batching), remembered=REMEMBERED)
    await pool.close()


@pytest.fixture
def direct(pool: Pool) -> PostgresTaskRepository:
    """The same tasks, without the proxy, and in another process: what it does, `tasks` has not seen."""
    return PostgresTaskRepository(Database(pool))


@pytest.fixture(params=["remembered", "unknown"])
async def task(request: pytest.FixtureRequest, tasks: PostgresTaskRepository, direct: PostgresTaskRepository) -> Task:
    """A task whose state `tasks` remembers or not."""
    task = await tasks.add(ALICE, MILK, NOON)
    return await (tasks if request.param == "remembered" else direct).get(ALICE, task.id)


async def unavailable(call: Awaitable[object]) -> float:
    """The seconds until the call failed, without those in which this process waited for a CPU."""
    clock, process = asyncio.get_running_loop().time, os.getpid()
    began = clock() - waited(process)
    with pytest.raises(StorageUnavailable):
        await call
    return clock() - waited(process) - began


async def eventually(call: Callable[[], Awaitable[T]]) -> T:
    """The result of the first call within its budget."""
    async with asyncio.timeout(60):
        while True:
            with suppress(StorageUnavailable):
                return await call()


async def test_a_connection_that_was_reset_while_idle_is_replaced_without_an_error(
    tasks: PostgresTaskRepository, between: Proxy
) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    between.cut()
    await asyncio.sleep(0.01)
    assert await tasks.get(ALICE, task.id) == task
    assert between.connections == 2


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
async def test_on_a_dead_network_a_call_fails_when_its_budget_is_spent_and_recovers_with_the_network(
    impatient: PostgresTaskRepository, between: Proxy, direct: PostgresTaskRepository, direction: str
) -> None:
    task = await direct.add(ALICE, MILK, NOON)
    assert await eventually(lambda: impatient.get(ALICE, task.id)) == task
    getattr(between, direction).clear()
    calls = [
        impatient.get(ALICE, task.id),
        impatient.page(ALICE, limit=100),
        impatient.update(ALICE, task.id, lambda task: task.toggle(LATER)),
    ]
    for took in await asyncio.gather(*map(unavailable, calls)):
        assert took < BUDGET + 1
    getattr(between, direction).set()
    assert await eventually(lambda: impatient.get(ALICE, task.id)) == task


async def test_the_readiness_check_has_a_timeout_of_its_own_and_its_failure_is_counted(between: Proxy) -> None:
    timeouts = Timeouts(ready=0.1, call=60, attempt=60)
    pool = Pool(between.conninfo, connections=1, prepare=None, timeouts=timeouts)
    database = Database(pool)
    await eventually(database.ping)
    assert pool.available
    between.to_client.clear()
    assert await unavailable(database.ping()) < 1
    assert not pool.available
    await pool.close()


async def test_on_a_dead_network_more_callers_than_connections_fail_in_time(
    impatient: PostgresTaskRepository, between: Proxy
) -> None:
    await eventually(lambda: impatient.page(ALICE, limit=100))
    between.to_server.clear()
    took = await asyncio.gather(*(unavailable(impatient.page(ALICE, limit=100)) for _ in range(50)))
    assert max(took) < BUDGET + 1


async def test_a_read_whose_result_is_lost_is_retried(tasks: PostgresTaskRepository, between: Proxy) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    reading = await _lose_the_result(tasks.get(ALICE, task.id), between)
    assert await reading == task


async def test_an_add_whose_result_is_lost_is_not_retried_and_fails(
    tasks: PostgresTaskRepository, between: Proxy, direct: PostgresTaskRepository
) -> None:
    await tasks.page(ALICE, limit=100)
    adding = await _lose_the_result(tasks.add(ALICE, MILK, NOON), between)
    with pytest.raises(StorageUnavailable):
        await adding
    assert len(await direct.page(ALICE, limit=100)) == 1


async def test_an_add_with_a_key_whose_result_is_lost_is_retried_and_adds_one_task(
    tasks: PostgresTaskRepository, between: Proxy, direct: PostgresTaskRepository
) -> None:
    await tasks.page(ALICE, limit=100)
    adding = await _lose_the_result(tasks.add(ALICE, MILK, NOON, KEY), between)
    assert [await adding] == await direct.page(ALICE, limit=100)


async def test_a_removal_of_an_expected_version_whose_result_is_lost_succeeds(
    tasks: PostgresTaskRepository, between: Proxy, direct: PostgresTaskRepository
) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    between.result_to_lose = b"DELETE"
    await tasks.remove(ALICE, task.id, [NOON])
    assert between.result_to_lose is None
    assert await direct.page(ALICE, limit=100) == []


async def test_an_update_whose_result_is_lost_is_found_and_not_applied_twice(
    task: Task, tasks: PostgresTaskRepository, between: Proxy, direct: PostgresTaskRepository
) -> None:
    await tasks.page(BOB, limit=1)  # so that a connection is open
    calls = 0

    def change(task: Task) -> Task:
        nonlocal calls
        calls += 1
        if calls == 1:
            between.to_client.clear()  # from now on: the answer to the write
        return append("!", task)

    changing = await _lost(tasks.update(ALICE, task.id, change), between)
    assert (await changing).title == "Buy milk!"
    assert (await direct.get(ALICE, task.id)).title == "Buy milk!"


@pytest.mark.parametrize("executed", [True, False])
async def test_an_update_of_a_stale_state_whose_result_is_lost_is_not_acknowledged_unless_it_is_stored(
    tasks: PostgresTaskRepository, between: Proxy, direct: PostgresTaskRepository, executed: bool
) -> None:
    """Nobody can tell then whether it was changed before this change or after it."""
    task = await tasks.add(ALICE, MILK, NOON)
    await tasks.get(ALICE, task.id)
    if not executed:
        stored = await direct.update(ALICE, task.id, lambda task: append("!", task))
    toggling = await _lose_the_result(tasks.update(ALICE, task.id, lambda task: task.toggle(LATER)), between)
    if executed:
        assert await toggling == await direct.get(ALICE, task.id)
    else:
        with pytest.raises(StorageUnavailable):
            await toggling
        assert await direct.get(ALICE, task.id) == stored
    assert (await tasks.update(ALICE, task.id, lambda task: append("?", task))).completed is executed


async def test_an_update_whose_connection_is_lost_while_it_waits_is_not_applied_twice(
    task: Task, tasks: PostgresTaskRepository, between: Proxy, database: str
) -> None:
    """The server continues a statement whose client is gone: the retry must not be applied on top of it."""
    async with await psycopg.AsyncConnection.connect(database) as holder:
        await holder.execute("LOCK TABLE tasks IN EXCLUSIVE MODE")
        toggling = asyncio.ensure_future(tasks.update(ALICE, task.id, lambda task: task.toggle(LATER)))
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as observer:
            while not await (
                await observer.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            ).fetchone():
                pass
        between.cut()
        await asyncio.sleep(0.05)
    assert (await toggling).completed
    assert (await tasks.get(ALICE, task.id)).completed


async def test_a_removal_whose_result_is_lost_succeeds_if_the_task_is_gone(
    tasks: PostgresTaskRepository, between: Proxy, direct: PostgresTaskRepository
) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    between.result_to_lose = b"DELETE"
    await tasks.remove(ALICE, task.id)
    assert between.result_to_lose is None
    with pytest.raises(TaskNotFound):
        await direct.get(ALICE, task.id)


async def test_a_removal_of_somebody_else_s_task_whose_result_is_lost_is_not_found(
    tasks: PostgresTaskRepository, between: Proxy, direct: PostgresTaskRepository
) -> None:
    task = await tasks.add(BOB, MILK, NOON)
    for lost in (b"SELECT", b"DELETE"):
        between.result_to_lose = lost
        with pytest.raises(TaskNotFound):
            await tasks.remove(ALICE, task.id)
    between.result_to_lose = None
    assert await direct.get(BOB, task.id) == task


async def _lose_the_result(call: Awaitable[object], between: Proxy) -> "asyncio.Future[Any]":
    between.to_client.clear()
    return await _lost(call, between)


async def _lost(call: Awaitable[object], between: Proxy) -> "asyncio.Future[Any]":
    """The call, after its statement was executed and the connection lost before the result arrived."""
    calling = asyncio.ensure_future(call)
    await between.swallowed.wait()
    between.to_client.set()
    between.cut()
    return calling


async def test_updates_of_a_locked_row_fail_when_their_budget_is_spent_and_delay_no_others(
    tasks: PostgresTaskRepository, impatient: PostgresTaskRepository, database: str
) -> None:
    task, other = await tasks.add(ALICE, MILK, NOON), await tasks.add(BOB, MILK, NOON)
    async with await psycopg.AsyncConnection.connect(database) as holder:
        await holder.execute("SELECT * FROM tasks WHERE id = %s FOR UPDATE", [task.id])
        assert await unavailable(impatient.update(ALICE, task.id, lambda task: task.toggle(LATER))) < BUDGET + 1
        assert await eventually(lambda: impatient.get(ALICE, task.id)) == task
        waiting = asyncio.ensure_future(tasks.update(ALICE, task.id, lambda task: task.toggle(LATER)))
        assert (await tasks.update(BOB, other.id, lambda task: task.toggle(LATER))).completed
        assert not waiting.done()
    assert (await waiting).completed
    assert not (await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))).completed


async def test_a_read_only_database_serves_reads_and_refuses_writes(
    tasks: PostgresTaskRepository, between: Proxy, batching: bool
) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    conninfo = make_conninfo(between.conninfo, options="-c default_transaction_read_only=on")
    read_only = Pool(conninfo, connections=2, prepare=None, timeouts=SHORT)
    replica = PostgresTaskRepository(Database(read_only, batching=batching))
    assert await eventually(lambda: replica.get(ALICE, task.id)) == task
    for write in (
        replica.add(ALICE, MILK, NOON),
        replica.update(ALICE, task.id, lambda task: task.toggle(LATER)),
        replica.remove(ALICE, task.id),
    ):
        await unavailable(write)
    assert await eventually(lambda: replica.page(ALICE, limit=100)) == [task]
    await read_only.close()


async def test_connecting_to_a_server_that_refuses_is_retried_for_a_short_time(batching: bool) -> None:
    nowhere = Pool("host=127.0.0.1 port=1 user=nobody", connections=1, prepare=None, timeouts=SHORT)
    took = await unavailable(PostgresTaskRepository(Database(nowhere, batching=batching)).page(ALICE, limit=100))
    assert took < 0.2 + 0.5
    await nowhere.close()


async def test_a_call_that_is_waiting_succeeds_when_the_server_comes_back(between: Proxy, batching: bool) -> None:
    between.to_server.clear()
    pool = Pool(between.conninfo, connections=1, prepare=None, timeouts=LONG)
    listing = asyncio.ensure_future(PostgresTaskRepository(Database(pool, batching=batching)).page(ALICE, limit=100))
    await between.swallowed.wait()
    between.cut()
    between.to_server.set()
    assert await listing == []
    assert between.connections >= 2
    await pool.close()


async def test_a_connection_attempt_that_the_network_dropped_is_hedged(
    tasks: PostgresTaskRepository, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    between.to_server.clear()
    listing = asyncio.ensure_future(tasks.page(ALICE, limit=100))
    await between.swallowed.wait()
    between.forget()
    between.to_server.set()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda time=loop.time: time() + LONG.hedge)
    assert await listing == []
    assert between.connections == 2


async def test_statements_get_a_free_connection_in_the_order_of_their_arrival(database: str) -> None:
    pool = Pool(database, connections=1, prepare=None)
    in_a_minute, served = asyncio.get_running_loop().time() + 60, asyncio.Event()

    async def greedy() -> None:
        while not served.is_set():
            await pool.run(b"SELECT 1", (), in_a_minute)

    running = asyncio.create_task(greedy())
    await asyncio.sleep(0.05)
    assert await asyncio.wait_for(pool.run(b"SELECT 2", (), in_a_minute), 60) == [(2,)]
    served.set()
    await running
    await pool.close()


async def test_cancelled_calls_leave_no_connection_occupied(tasks: PostgresTaskRepository, database: str) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    async with await psycopg.AsyncConnection.connect(database) as holder:
        await holder.execute("LOCK TABLE tasks")
        changing = [
            asyncio.ensure_future(tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))) for _ in range(8)
        ]
        await asyncio.sleep(0.05)
        for change in changing:
            change.cancel()
        await asyncio.wait(changing)
    assert (await asyncio.gather(*(tasks.get(ALICE, task.id) for _ in range(20))))[0].title == "Buy milk"
