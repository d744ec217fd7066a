"""The repository on PostgreSQL when connections stall and break, and when the database refuses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from adapters.postgres import pool as postgres
from adapters.postgres.pool import Pool
from adapters.postgres.repository import SqlModelTaskRepository
from domain.errors import StorageUnavailable, TaskNotFound
from domain.task import Task
from tests.contracts.task_repository import ALICE, BOB, KEY, LATER, MILK, NOON, append
from tests.faults.proxy import Proxy, proxy

BUDGET = 0.6


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "BUDGET_SECONDS", BUDGET)
    monkeypatch.setattr(postgres, "ATTEMPT_SECONDS", 0.2)
    monkeypatch.setattr(postgres, "CANCEL_SECONDS", 0.05)
    monkeypatch.setattr(postgres, "CONNECT_AGAIN_SECONDS", 0.2)
    monkeypatch.setattr(postgres, "CONNECT_BESIDE_SECONDS", 0.15)


@pytest.fixture
async def between(pool: Pool, database: str) -> AsyncIterator[Proxy]:
    async with proxy(database) as running:
        yield running


@pytest.fixture
async def tasks(between: Proxy) -> AsyncIterator[SqlModelTaskRepository]:
    engine = Pool(between.conninfo, connections=4, prepare=None)
    yield SqlModelTaskRepository(engine)
    await engine.close()


@pytest.fixture
def direct(pool: Pool) -> SqlModelTaskRepository:
    """The same tasks, without the proxy."""
    return SqlModelTaskRepository(pool)


async def unavailable(call: Awaitable[object]) -> float:
    """The seconds that it took to say so."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(StorageUnavailable):
        await call
    return loop.time() - began


async def test_a_connection_that_was_reset_while_idle_is_replaced_unnoticed(
    tasks: SqlModelTaskRepository, between: Proxy
) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    between.cut()
    await asyncio.sleep(0.01)
    assert await tasks.get(ALICE, task.id) == task
    assert between.connections == 2


@pytest.mark.parametrize("direction", ["questions", "answers"])
async def test_on_a_dead_network_a_call_ends_with_its_budget_and_heals_with_the_network(
    tasks: SqlModelTaskRepository, between: Proxy, direction: str
) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    getattr(between, direction).clear()
    calls = [
        tasks.get(ALICE, task.id),
        tasks.page(ALICE, limit=100),
        tasks.update(ALICE, task.id, lambda task: task.toggle(LATER)),
    ]
    for took in await asyncio.gather(*map(unavailable, calls)):
        assert took < BUDGET + 1
    getattr(between, direction).set()
    assert await tasks.get(ALICE, task.id) == task


async def test_whether_the_database_is_ready_is_asked_for_a_second_and_noted(
    between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "READY_SECONDS", 0.1)
    monkeypatch.setattr(postgres, "BUDGET_SECONDS", 60)
    monkeypatch.setattr(postgres, "ATTEMPT_SECONDS", 60)
    pool = Pool(between.conninfo, connections=1, prepare=None)
    await pool.ping()
    assert pool.available
    between.answers.clear()
    assert await unavailable(pool.ping()) < 1
    assert not pool.available
    await pool.close()


async def test_more_callers_than_connections_are_all_answered_on_a_dead_network(
    tasks: SqlModelTaskRepository, between: Proxy
) -> None:
    await tasks.page(ALICE, limit=100)
    between.questions.clear()
    took = await asyncio.gather(*(unavailable(tasks.page(ALICE, limit=100)) for _ in range(50)))
    assert max(took) < BUDGET + 1


async def test_a_read_whose_answer_is_lost_is_repeated(tasks: SqlModelTaskRepository, between: Proxy) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    reading = await _lose_the_answer(tasks.get(ALICE, task.id), between)
    assert await reading == task


async def test_a_task_whose_answer_is_lost_is_not_added_twice_and_not_pretended(
    tasks: SqlModelTaskRepository, between: Proxy, direct: SqlModelTaskRepository
) -> None:
    await tasks.page(ALICE, limit=100)
    adding = await _lose_the_answer(tasks.add(ALICE, MILK, NOON), between)
    with pytest.raises(StorageUnavailable):
        await adding
    assert len(await direct.page(ALICE, limit=100)) == 1


async def test_a_creation_with_a_key_whose_answer_is_lost_is_found_and_not_made_twice(
    tasks: SqlModelTaskRepository, between: Proxy, direct: SqlModelTaskRepository
) -> None:
    await tasks.page(ALICE, limit=100)
    adding = await _lose_the_answer(tasks.add(ALICE, MILK, NOON, KEY), between)
    assert [await adding] == await direct.page(ALICE, limit=100)


async def test_a_removal_of_what_was_seen_whose_answer_is_lost_is_done(
    tasks: SqlModelTaskRepository, between: Proxy, direct: SqlModelTaskRepository
) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    between.answer_to_lose = b"DELETE"
    await tasks.remove(ALICE, task.id, [NOON])
    assert between.answer_to_lose is None
    assert await direct.page(ALICE, limit=100) == []


async def test_a_change_whose_answer_is_lost_is_found_and_not_made_twice(
    tasks: SqlModelTaskRepository, between: Proxy, direct: SqlModelTaskRepository
) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    calls = 0

    def change(task: Task) -> Task:
        nonlocal calls
        calls += 1
        if calls == 1:
            between.answers.clear()  # from now on: the answer to the write
        return append("!", task)

    changing = await _lost(tasks.update(ALICE, task.id, change), between)
    assert (await changing).title == "Buy milk!"
    assert (await direct.get(ALICE, task.id)).title == "Buy milk!"


async def test_a_change_whose_answer_is_lost_while_it_waits_is_not_made_twice(
    tasks: SqlModelTaskRepository, between: Proxy, database: str
) -> None:
    """The server goes on with a statement whose client is gone: the repetition must not come on top of it."""
    task = await tasks.add(ALICE, MILK, NOON)
    async with await psycopg.AsyncConnection.connect(database) as somebody:
        await somebody.execute("LOCK TABLE tasks IN EXCLUSIVE MODE")
        toggling = asyncio.ensure_future(tasks.update(ALICE, task.id, lambda task: task.toggle(LATER)))
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as watching:
            while not await (
                await watching.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            ).fetchone():
                pass
        between.cut()
        await asyncio.sleep(0.05)
    assert (await toggling).completed
    assert (await tasks.get(ALICE, task.id)).completed


async def test_a_removal_whose_answer_is_lost_is_told_from_what_is_found(
    tasks: SqlModelTaskRepository, between: Proxy, direct: SqlModelTaskRepository
) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    removing = await _lose_the_answer(tasks.remove(ALICE, task.id), between)
    await removing
    with pytest.raises(TaskNotFound):
        await direct.get(ALICE, task.id)


async def _lose_the_answer(call: Awaitable[object], between: Proxy) -> "asyncio.Future[Any]":
    between.answers.clear()
    return await _lost(call, between)


async def _lost(call: Awaitable[object], between: Proxy) -> "asyncio.Future[Any]":
    """The call, after its statement was carried out and its connection lost before the answer."""
    calling = asyncio.ensure_future(call)
    await between.swallowed.wait()
    between.answers.set()
    between.cut()
    return calling


async def test_a_locked_row_holds_up_whoever_wants_to_change_it_no_longer_than_the_budget(
    tasks: SqlModelTaskRepository, database: str
) -> None:
    task, other = await tasks.add(ALICE, MILK, NOON), await tasks.add(BOB, MILK, NOON)
    async with await psycopg.AsyncConnection.connect(database) as somebody:
        await somebody.execute("SELECT * FROM tasks WHERE id = %s FOR UPDATE", [task.id])
        assert await unavailable(tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))) < BUDGET + 1
        assert await tasks.get(ALICE, task.id) == task
        assert (await tasks.update(BOB, other.id, lambda task: task.toggle(LATER))).completed
    assert (await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))).completed


async def test_a_read_only_database_answers_reads_and_refuses_writes(
    tasks: SqlModelTaskRepository, between: Proxy
) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    read_only = Pool(
        make_conninfo(between.conninfo, options="-c default_transaction_read_only=on"), connections=2, prepare=None
    )
    replica = SqlModelTaskRepository(read_only)
    assert await replica.get(ALICE, task.id) == task
    for write in (
        replica.add(ALICE, MILK, NOON),
        replica.update(ALICE, task.id, lambda task: task.toggle(LATER)),
        replica.remove(ALICE, task.id),
    ):
        await unavailable(write)
    assert await replica.page(ALICE, limit=100) == [task]
    await read_only.close()


async def test_a_server_that_is_not_there_is_tried_again_for_a_moment_only() -> None:
    nowhere = Pool("host=127.0.0.1 port=1 user=nobody", connections=1, prepare=None)
    took = await unavailable(SqlModelTaskRepository(nowhere).page(ALICE, limit=100))
    assert took < 0.2 + 0.5
    await nowhere.close()


async def test_a_server_that_comes_back_is_found_by_the_call_that_waits(
    between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "BUDGET_SECONDS", 5)
    monkeypatch.setattr(postgres, "CONNECT_AGAIN_SECONDS", 5)
    between.questions.clear()
    engine = Pool(between.conninfo, connections=1, prepare=None)
    listing = asyncio.ensure_future(SqlModelTaskRepository(engine).page(ALICE, limit=100))
    await between.swallowed.wait()
    between.cut()
    between.questions.set()
    assert await listing == []
    assert between.connections >= 2
    await engine.close()


async def test_an_attempt_to_connect_that_the_network_has_forgotten_is_not_waited_for(
    tasks: SqlModelTaskRepository, between: Proxy
) -> None:
    between.questions.clear()
    listing = asyncio.ensure_future(tasks.page(ALICE, limit=100))
    await between.swallowed.wait()
    between.forget()
    between.questions.set()
    assert await listing == []
    assert between.connections == 2


async def test_whoever_is_cancelled_leaves_no_connection_behind(tasks: SqlModelTaskRepository, database: str) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    async with await psycopg.AsyncConnection.connect(database) as somebody:
        await somebody.execute("LOCK TABLE tasks")
        changing = [
            asyncio.ensure_future(tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))) for _ in range(8)
        ]
        await asyncio.sleep(0.05)
        for change in changing:
            change.cancel()
        await asyncio.wait(changing)
    assert (await asyncio.gather(*(tasks.get(ALICE, task.id) for _ in range(20))))[0].title == "Buy milk"
