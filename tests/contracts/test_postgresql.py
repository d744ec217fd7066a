"""The contract on PostgreSQL, and what only a database can get wrong."""

import asyncio
from datetime import UTC

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres import open_pool
from adapters.sqlmodel_tasks import SqlModelTaskRepository
from domain.errors import StorageUnavailable
from domain.task import Draft, Task
from tests.contracts.task_repository import ALICE, LATER, MILK, NOON, TaskRepositoryContract, append


@pytest.fixture
def tasks(pool: AsyncEngine) -> SqlModelTaskRepository:
    return SqlModelTaskRepository(pool)


class TestSqlModelTaskRepository(TaskRepositoryContract):
    """Runs on the fixture above."""


class Statements:
    """What was sent to the database since the last look."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.sent: list[str] = []
        event.listen(engine.sync_engine, "before_cursor_execute", self._note)

    def _note(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self.sent.append(statement.split()[0])

    def take(self) -> list[str]:
        sent, self.sent = self.sent, []
        return sent


async def test_each_call_is_one_statement_and_a_change_is_two(tasks: SqlModelTaskRepository, pool: AsyncEngine) -> None:
    statements = Statements(pool)
    task = await tasks.add(ALICE, MILK, NOON)
    assert statements.take() == ["INSERT"]
    await tasks.get(ALICE, task.id)
    assert statements.take() == ["SELECT"]
    await tasks.list(ALICE)
    assert statements.take() == ["SELECT"]
    await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))
    assert statements.take() == ["SELECT", "UPDATE"]
    await tasks.update(ALICE, task.id, lambda task: task)
    assert statements.take() == ["SELECT"]
    await tasks.remove(ALICE, task.id)
    assert statements.take() == ["DELETE"]


async def test_every_statement_names_the_owner(tasks: SqlModelTaskRepository, pool: AsyncEngine) -> None:
    seen: list[str] = []
    event.listen(pool.sync_engine, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
    task = await tasks.add(ALICE, MILK, NOON)
    await tasks.list(ALICE)
    await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))
    await tasks.remove(ALICE, task.id)
    assert len(seen) == 5
    assert seen[0].startswith("INSERT INTO tasks (user_id, ")
    for statement in seen[1:]:
        assert "WHERE tasks.user_id = " in statement


async def test_a_task_is_stored_when_the_call_returns(tasks: SqlModelTaskRepository, database: str) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    async with await psycopg.AsyncConnection.connect(database) as somebody_else:
        cursor = await somebody_else.execute("SELECT title FROM tasks WHERE id = %s", [task.id])
        assert await cursor.fetchone() == ("Buy milk",)


async def test_a_change_in_between_is_seen_and_built_upon(tasks: SqlModelTaskRepository) -> None:
    task = await tasks.add(ALICE, Draft(MILK.title), NOON)
    faster = SqlModelTaskRepository(tasks._engine)
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


async def test_times_are_utc_whatever_the_database_thinks(database: str, pool: AsyncEngine) -> None:
    abroad = open_pool(f"{database} options='-c TimeZone=America/New_York'", connections=1, prepare=None)
    task = await SqlModelTaskRepository(abroad).add(ALICE, MILK, NOON)
    await abroad.dispose()
    assert task.created_at == NOON
    assert task.created_at.tzinfo is UTC


async def test_connections_that_the_server_closed_are_replaced_unnoticed(
    tasks: SqlModelTaskRepository, database: str
) -> None:
    await asyncio.gather(*(tasks.add(ALICE, MILK, NOON) for _ in range(20)))
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as operator:
        cursor = await operator.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert len(await cursor.fetchall()) > 1
    assert len(await asyncio.gather(*(tasks.list(ALICE) for _ in range(20)))) == 20


async def test_a_database_out_of_reach_is_storage_unavailable() -> None:
    nowhere = open_pool("host=127.0.0.1 port=1 user=nobody password=secret", connections=1, prepare=None)
    with pytest.raises(StorageUnavailable):
        await SqlModelTaskRepository(nowhere).get(ALICE, (await _any_task()).id)
    await nowhere.dispose()


async def _any_task() -> Task:
    from adapters.in_memory import InMemoryTaskRepository

    return await InMemoryTaskRepository().add(ALICE, MILK, NOON)


async def test_what_postgresql_says_about_a_defect_is_not_passed_on(tasks: SqlModelTaskRepository) -> None:
    with pytest.raises(RuntimeError) as defect:
        await tasks.add(ALICE, Draft("private" * 100), NOON)  # type: ignore[arg-type]
    assert "22001" in str(defect.value)
    assert "private" not in str(defect.value)
    assert defect.value.__suppress_context__
