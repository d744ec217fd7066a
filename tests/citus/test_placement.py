"""Calls are sent to the shards of their owners: on simulated shards, so that every run of the tests goes this way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from adapters.postgres.database import Database
from adapters.postgres.repository import PostgresTaskRepository
from domain.values import UserId
from tests.citus.simulated import ShardedPool, simulate_shards, split_shards
from tests.cli.conftest import Todo
from tests.contracts.task_repository import LATER, MILK, NOON, TaskRepositoryContract
from tests.contracts.test_equivalence import BothRepositories, agree
from tests.databases import fresh_database, url

OWNERS = [UserId(f"owner {number}") for number in range(40)]


@pytest.fixture(scope="module")
def sharded(server: str, template: str, worker_id: str) -> Iterator[str]:
    with fresh_database(server, f"todo_sharded_{worker_id}", template) as conninfo:
        simulate_shards(conninfo)
        yield conninfo


@pytest.fixture
async def sharded_pool(sharded: str) -> AsyncIterator[ShardedPool]:
    async with await psycopg.AsyncConnection.connect(sharded, autocommit=True) as connection:
        await connection.execute("DELETE FROM tasks; DELETE FROM task_creations")
    pool = ShardedPool(sharded, connections=8, prepare=None)
    yield pool
    await pool.close()
    assert pool.groups(sharded) == {1}, "a batch has owners of one shard only"


@pytest.fixture
def tasks(sharded_pool: ShardedPool, batching: bool) -> PostgresTaskRepository:
    return PostgresTaskRepository(Database(sharded_pool, batching=batching, sharded=True), extras=True)


class TestShardedTaskRepository(TaskRepositoryContract):
    """Runs on the fixture above, with batching and without."""


class BothOnShards(BothRepositories):
    sharded = True


def test_shards_and_memory_agree(sharded: str, batching: bool) -> None:
    agree(BothOnShards, sharded, batching=batching, examples=15)


async def test_concurrent_calls_share_a_statement_for_each_shard(sharded_pool: ShardedPool) -> None:
    tasks = PostgresTaskRepository(Database(sharded_pool, sharded=True))
    added = await asyncio.gather(*(tasks.add(owner, MILK, NOON) for owner in OWNERS))
    assert len(sharded_pool.batches) == 4
    await asyncio.gather(*(tasks.update(task.user_id, task.id, lambda task: task.toggle(LATER)) for task in added))
    assert len(sharded_pool.batches) == 12
    await asyncio.gather(*(tasks.remove(task.user_id, task.id) for task in added))
    assert len(sharded_pool.batches) == 20


async def test_owners_are_located_once_and_together(sharded_pool: ShardedPool) -> None:
    database = Database(sharded_pool, sharded=True)
    tasks = PostgresTaskRepository(database)
    for _ in range(3):
        await asyncio.gather(*(tasks.page(owner, limit=9) for owner in OWNERS))
    [locating] = [batcher for name, batcher in database.batchers_of_shards if name == "locate"]
    assert (locating.calls_sent, locating.statements_sent) == (40, 1)


async def test_a_process_that_began_before_the_distribution_goes_on(sharded_pool: ShardedPool, sharded: str) -> None:
    """It sends the statements of an undistributed database until one is refused: at the latest when it draws an ID."""
    async with await psycopg.AsyncConnection.connect(sharded, autocommit=True) as connection:
        await connection.execute("SELECT setval('tasks_id_seq', 9223372036854775807)")
    tasks = PostgresTaskRepository(Database(sharded_pool))
    added = await asyncio.gather(*(tasks.add(owner, MILK, NOON) for owner in OWNERS))
    assert [task.user_id for task in added] == OWNERS
    sharded_pool.batches = ()  # the first was for all owners
    assert [[task] for task in added] == await asyncio.gather(*(tasks.page(owner, limit=9) for owner in OWNERS))


async def test_owners_are_located_again_when_their_shards_have_been_split(
    sharded_pool: ShardedPool, sharded: str
) -> None:
    tasks = PostgresTaskRepository(Database(sharded_pool, sharded=True))
    await asyncio.gather(*(tasks.add(owner, MILK, NOON) for owner in OWNERS))
    async with await psycopg.AsyncConnection.connect(sharded, autocommit=True) as connection:
        await split_shards(connection, 8)
        try:
            await asyncio.gather(*(tasks.add(owner, MILK, NOON) for owner in OWNERS))
            sharded_pool.batches = ()
            added = await asyncio.gather(*(tasks.add(owner, MILK, NOON) for owner in OWNERS))
            assert len(sharded_pool.batches) == 8
            assert sharded_pool.groups(sharded) == {1}
        finally:
            await split_shards(connection, 4)
    assert [task.user_id for task in added] == OWNERS
    assert [len(await tasks.page(owner, limit=9)) for owner in OWNERS] == [3] * len(OWNERS)


def test_serve_refuses_a_database_that_is_not_distributed_as_the_setting_says(database: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": url(database), "BETTER_AUTH_SECRET": "s" * 32, "DATABASE_CITUS": "true"}
    refused = Todo(tmp_path).run("serve", **settings)
    assert refused.returncode == 1
    assert refused.stderr == ("DATABASE_CITUS is true, but the tables are not distributed: run `todo migrate` first.\n")
