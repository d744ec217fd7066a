"""Everything that is stored about a user, counted, handed out and erased."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest

from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from adapters.postgres.user_records import PostgresUserRecords
from application.todo_list import TodoList
from application.user_records import CHUNK, Count, NoSuchTable, UsedKey, erase
from domain.values import IdempotencyKey, UserId
from tests.contracts.task_repository import ALICE, BOB, KEY, MILK, NOON


@pytest.fixture
def tasks(pool: Pool) -> PostgresTaskRepository:
    return PostgresTaskRepository(Database(pool))


@pytest.fixture
def records(pool: Pool) -> PostgresUserRecords:
    return PostgresUserRecords(Database(pool, batching=False))


async def execute(database: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(statement.encode())


@pytest.fixture
async def users(database: str) -> AsyncIterator[str]:
    """A table of users as Neon Auth keeps it, with Alice in it."""
    await execute(database, 'CREATE SCHEMA neon_auth; CREATE TABLE neon_auth.user (id text, "userId" uuid)')
    await execute(database, "INSERT INTO neon_auth.user VALUES ('alice')")
    yield "neon_auth.user"
    await execute(database, "DROP SCHEMA neon_auth CASCADE")


async def add(tasks: PostgresTaskRepository, user: UserId, number: int) -> None:
    for start in range(0, number, 100):  # an owner's share of the queue is bounded
        await asyncio.gather(*(tasks.add(user, MILK, NOON) for _ in range(min(100, number - start))))


async def test_everything_of_the_user_is_erased_and_nothing_of_others(
    tasks: PostgresTaskRepository, records: PostgresUserRecords
) -> None:
    for user in (ALICE, BOB):
        await add(tasks, user, CHUNK + 1)
        await tasks.add(user, MILK, NOON, KEY)
    assert await records.count(ALICE) == await records.count(BOB) == Count(CHUNK + 2, 1)
    assert [erased async for erased in erase(records, ALICE)] == [Count(CHUNK, 1), Count(2, 0)]
    assert (await records.count(ALICE), await records.count(BOB)) == (Count(0, 0), Count(CHUNK + 2, 1))
    assert [erased async for erased in erase(records, ALICE)] == []


async def test_a_key_is_erased_though_its_task_is_gone(
    tasks: PostgresTaskRepository, records: PostgresUserRecords
) -> None:
    task = await tasks.add(ALICE, MILK, NOON, KEY)
    await tasks.remove(ALICE, task.id)
    assert await records.keys(ALICE) == [UsedKey(KEY, task.id, NOON)]
    assert await records.keys(BOB) == []
    assert [erased async for erased in erase(records, ALICE)] == [Count(0, 1)]


async def test_users_of_two_issuers_are_erased_one_by_one(
    tasks: PostgresTaskRepository, records: PostgresUserRecords
) -> None:
    other = UserId("alice", "https://preview.example")
    await tasks.add(ALICE, MILK, NOON)
    await tasks.add(other, MILK, NOON)
    assert [erased async for erased in erase(records, other)] == [Count(1, 0)]
    assert await records.count(ALICE) == Count(1, 0)


async def test_users_that_a_table_does_not_have_are_found(
    tasks: PostgresTaskRepository, records: PostgresUserRecords, users: str
) -> None:
    assert await records.absent_from(users) == (0, [])
    await add(tasks, ALICE, 3)
    assert await records.absent_from(users) == (1, [])
    await add(tasks, BOB, 3)
    with_key_only = UserId("carol")
    task = await tasks.add(with_key_only, MILK, NOON, IdempotencyKey("k"))
    await tasks.remove(with_key_only, task.id)
    await tasks.add(UserId("alice", "https://preview.example"), MILK, NOON)
    for table in (users, 'neon_auth."user"', "neon_auth.user.id", 'neon_auth."user"."id"'):
        assert await records.absent_from(table) == (3, ["bob", "carol"]), table
    assert await records.absent_from("neon_auth.user.userId") == (3, ["alice", "bob", "carol"])


@pytest.mark.parametrize(
    "table", ["nothing", "neon_auth.user.nothing", "neon_auth.nothing", "", ".", "a b", "user; DROP TABLE tasks", '"']
)
async def test_a_table_that_is_not_there_is_named(records: PostgresUserRecords, users: str, table: str) -> None:
    with pytest.raises(NoSuchTable):
        await records.absent_from(table)


async def test_a_column_that_the_table_does_not_have_is_named(records: PostgresUserRecords) -> None:
    with pytest.raises(NoSuchTable, match=r"The table task_creations has no column id: name another one, like"):
        await records.absent_from("task_creations")


async def test_what_the_user_stores_meanwhile_is_erased_too(
    tasks: PostgresTaskRepository, records: PostgresUserRecords
) -> None:
    await add(tasks, ALICE, 2 * CHUNK)
    todo = TodoList(ALICE, tasks, lambda: NOON + timedelta(seconds=1))
    steps = erase(records, ALICE)
    await anext(steps)
    await todo.create(MILK, KEY)
    assert sum([step.keys async for step in steps]) == 1
    assert await records.count(ALICE) == Count(0, 0)
