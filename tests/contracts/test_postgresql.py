"""The contract on PostgreSQL, and what only a database can get wrong."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any, ClassVar

import psycopg
import pytest

from adapters.postgres import creations as creation_table
from adapters.postgres import statements as task_table
from adapters.postgres.pool import Pool
from adapters.postgres.repository import SqlModelTaskRepository
from domain.errors import StorageUnavailable
from domain.listing import Selection, Sort
from domain.search import SearchText
from domain.task import Draft, Task
from domain.values import IdempotencyKey, Title
from tests.contracts.task_repository import ALICE, BOB, KEY, LATER, MILK, NOON, TaskRepositoryContract, append


@pytest.fixture
def tasks(pool: Pool) -> SqlModelTaskRepository:
    return SqlModelTaskRepository(pool)


class TestSqlModelTaskRepository(TaskRepositoryContract):
    """Runs on the fixture above."""


class WatchedPool(Pool):
    """Notes what was sent to the database since the last look, by name."""

    NAMES: ClassVar[Mapping[bytes, str]] = {
        **{value: name for name, value in vars(task_table).items() if isinstance(value, bytes)},
        **dict.fromkeys(task_table.PAGES.values(), "PAGE"),
        creation_table.ADD_ONCE: "ADD_ONCE",
        creation_table.KNOWN: "KNOWN",
    }
    sent: Sequence[str] = ()

    async def run(self, statement: bytes, values: Mapping[str, object], until: float) -> Sequence[tuple[Any, ...]]:
        self.sent = [*self.sent, self.NAMES[statement]]
        return await super().run(statement, values, until)

    def take(self) -> Sequence[str]:
        sent, self.sent = self.sent, ()
        return sent


@pytest.fixture
async def watched(database: str) -> AsyncIterator[WatchedPool]:
    pool = WatchedPool(database, connections=8, prepare=None)
    yield pool
    await pool.close()


async def test_a_call_alone_is_one_statement_and_a_change_is_two(watched: WatchedPool) -> None:
    tasks = SqlModelTaskRepository(watched)
    task = await tasks.add(ALICE, MILK, NOON)
    assert watched.take() == ["ADD"]
    await tasks.get(ALICE, task.id)
    assert watched.take() == ["GET"]
    await tasks.page(ALICE, limit=100)
    assert watched.take() == ["PAGE"]
    await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))
    assert watched.take() == ["GET", "SAVE"]
    await tasks.update(ALICE, task.id, lambda task: task)
    assert watched.take() == ["GET"]
    await tasks.remove(ALICE, task.id)
    assert watched.take() == ["REMOVE"]
    await tasks.add(ALICE, MILK, NOON, KEY)
    assert watched.take() == ["ADD_ONCE"]
    await tasks.add(ALICE, MILK, NOON, KEY)
    assert watched.take() == ["ADD_ONCE", "KNOWN", "SETTLE"]


async def test_calls_that_come_together_share_a_statement(watched: WatchedPool) -> None:
    tasks = SqlModelTaskRepository(watched)
    made = await asyncio.gather(*(tasks.add(owner, MILK, NOON) for owner in (ALICE, BOB) for _ in range(50)))
    assert watched.take() == ["ADD"]
    await asyncio.gather(*(tasks.get(task.user_id, task.id) for task in made))
    await asyncio.gather(*(tasks.update(task.user_id, task.id, lambda task: task.toggle(LATER)) for task in made))
    await asyncio.gather(*(tasks.remove(task.user_id, task.id) for task in made))
    assert watched.take() == ["GET", "GET", "SAVE", "REMOVE"]


async def test_every_statement_names_the_owner() -> None:
    for statement, name in WatchedPool.NAMES.items():
        match name:
            case "ADD" | "ADD_ONCE":
                assert b"INSERT INTO tasks (user_id, " in statement
            case "SETTLE":
                assert b"tasks" not in statement
            case "KNOWN":
                assert b"ON (known.user_id, known.key) = (asked.owner, asked.key)" in statement
            case _:
                assert re.search(rb"tasks\.user_id = asked\.owner", statement)


async def test_a_task_is_stored_when_the_call_returns(tasks: SqlModelTaskRepository, database: str) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    async with await psycopg.AsyncConnection.connect(database) as somebody_else:
        cursor = await somebody_else.execute("SELECT title FROM tasks WHERE id = %s", [task.id])
        assert await cursor.fetchone() == ("Buy milk",)


async def test_a_change_in_between_is_seen_and_built_upon(tasks: SqlModelTaskRepository) -> None:
    task = await tasks.add(ALICE, Draft(MILK.title), NOON)
    faster = SqlModelTaskRepository(tasks._pool)
    attempts = []

    def slow(task: Task) -> Task:
        attempts.append(task)
        return append("?", task)

    original_get = tasks._get

    async def overtaken(*arguments: object) -> Task:
        seen = await original_get(*arguments)  # type: ignore[arg-type]
        if not attempts:
            await faster.update(ALICE, task.id, lambda task: append("!", task))
        return seen

    tasks._get = overtaken  # type: ignore[assignment, method-assign]
    assert (await tasks.update(ALICE, task.id, slow)).title == "Buy milk!?"
    assert len(attempts) == 2


@pytest.mark.parametrize("limit", [1, 500])
@pytest.mark.parametrize("descending", [False, True])
async def test_a_page_of_a_long_list_is_read_by_the_index(
    pool: Pool, database: str, limit: int, descending: bool
) -> None:
    """Also where PostgreSQL knows that the owner has most of all tasks, and might rather read and sort them."""
    statement = task_table.PAGES[Sort.CREATED, descending, False]
    values = dict.fromkeys(("each_completed", "each_search", "each_after_value", "each_after_id"), "{NULL}")
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO tasks (user_id, title, completed, created_at, updated_at) "
            "SELECT 'alice', 'task ' || number, false, now(), now() FROM generate_series(1, 20000) AS number"
        )
        await connection.execute("ANALYZE tasks")
        plan = await connection.execute(b"EXPLAIN " + statement, {**values, "each_owner": "{alice}", "limit": limit})
        text = "\n".join(line for (line,) in await plan.fetchall())
        await connection.execute("DELETE FROM tasks")
        await connection.execute("ANALYZE tasks")
    assert "Sort Key: tasks.id" not in text
    assert re.search("Index Scan (Backward )?using tasks_pkey on tasks", text)


async def test_keys_that_have_expired_are_removed_in_passing(tasks: SqlModelTaskRepository, database: str) -> None:
    for letter in "abc":
        await tasks.add(ALICE, MILK, NOON, IdempotencyKey(letter))
    await tasks.add(BOB, MILK, NOON + IdempotencyKey.LIFETIME - timedelta(microseconds=1), IdempotencyKey("not yet"))
    await tasks.add(BOB, MILK, NOON + IdempotencyKey.LIFETIME, IdempotencyKey("now"))
    async with await psycopg.AsyncConnection.connect(database) as somebody_else:
        cursor = await somebody_else.execute("SELECT key FROM task_creations ORDER BY key")
        assert await cursor.fetchall() == [("not yet",), ("now",)]
    assert len(await tasks.page(ALICE, limit=9)) == 3


async def test_searches_of_one_owner_take_turns_and_nobody_else_waits_for_them(watched: WatchedPool) -> None:
    tasks = SqlModelTaskRepository(watched)
    await asyncio.gather(*(tasks.add(owner, Draft(Title("Queue up")), NOON) for owner in (ALICE, BOB)))
    watched.take()
    queue = Selection(search=SearchText("queue"))
    hers = [asyncio.create_task(tasks.page(ALICE, queue, limit=9)) for _ in range(20)]
    await asyncio.sleep(0)  # until all of hers are asked
    his = await tasks.page(BOB, queue, limit=9)
    assert len(his) == 1
    assert sum(search.done() for search in hers) <= 2
    assert [len(page) for page in await asyncio.gather(*hers)] == [1] * 20
    assert watched.take() == ["PAGE"] * 21


async def test_times_are_utc_whatever_the_database_thinks(database: str, pool: Pool) -> None:
    abroad = Pool(f"{database} options='-c TimeZone=America/New_York'", connections=1, prepare=None)
    tasks = SqlModelTaskRepository(abroad)
    task = await tasks.get(ALICE, (await tasks.add(ALICE, MILK, NOON)).id)
    await abroad.close()
    assert task.created_at == NOON
    assert task.created_at.tzinfo is UTC


async def test_connections_that_the_server_closed_are_replaced_unnoticed(
    tasks: SqlModelTaskRepository, database: str
) -> None:
    await asyncio.gather(
        *(call for _ in range(20) for call in (tasks.add(ALICE, MILK, NOON), tasks.page(BOB, limit=1)))
    )
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as operator:
        cursor = await operator.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert len(await cursor.fetchall()) > 1
    assert len(await asyncio.gather(*(tasks.page(ALICE, limit=100) for _ in range(20)))) == 20


async def test_a_database_out_of_reach_is_storage_unavailable() -> None:
    nowhere = Pool("host=127.0.0.1 port=1 user=nobody password=secret", connections=1, prepare=None)
    with pytest.raises(StorageUnavailable):
        await SqlModelTaskRepository(nowhere).get(ALICE, (await _any_task()).id)
    await nowhere.close()


async def _any_task() -> Task:
    from adapters.in_memory import InMemoryTaskRepository

    return await InMemoryTaskRepository().add(ALICE, MILK, NOON)


async def test_what_postgresql_says_about_a_defect_is_not_passed_on(tasks: SqlModelTaskRepository) -> None:
    with pytest.raises(RuntimeError) as defect:
        await tasks.add(ALICE, Draft("private" * 100), NOON)  # type: ignore[arg-type]
    assert "22001" in str(defect.value)
    assert "private" not in str(defect.value)
    assert defect.value.__suppress_context__
