"""The repository and both contracts on a real Citus cluster."""

import asyncio
from collections.abc import Sequence

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from adapters.postgres import citus, sharded
from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from adapters.postgres.statements import STATEMENTS
from domain.values import IdempotencyKey, UserId
from tests.contracts.task_repository import ALICE, KEY, LATER, MILK, NOON, TaskRepositoryContract
from tests.contracts.test_equivalence import BothRepositories, agree

OWNERS = [UserId(f"owner {number}") for number in range(40)]


@pytest.fixture
def tasks(cluster_pool: Pool, batching: bool) -> PostgresTaskRepository:
    return PostgresTaskRepository(Database(cluster_pool, batching=batching, sharded=True), extras=True)


class TestCitusTaskRepository(TaskRepositoryContract):
    """Runs on the fixture above, with batching and without."""


class BothOnCitus(BothRepositories):
    sharded = True


def test_citus_and_memory_agree(cluster: str, batching: bool) -> None:
    agree(BothOnCitus, cluster, batching=batching, examples=15)


@pytest.fixture
def nodes(cluster: str) -> Sequence[str]:
    """Conninfo of every node, the coordinator's first."""
    with psycopg.connect(cluster) as connection:
        found = connection.execute("SELECT nodename, nodeport FROM pg_dist_node ORDER BY groupid").fetchall()
    return [make_conninfo(cluster, host=host, port=port) for host, port in found]


def test_every_statement_touches_one_shard_through_every_node(nodes: Sequence[str]) -> None:
    for node in nodes:
        with psycopg.connect(node, autocommit=True) as connection:
            for name, plan in citus.plans(connection):
                assert citus.touches_one_shard(plan), f"{name}:\n{plan}"


def test_no_statement_runs_for_owners_of_two_shards_and_writes(cluster: str) -> None:
    """Reads may: they see all shards. Whatever writes or marks the log is refused, and the placement is asked again."""
    with psycopg.connect(cluster, autocommit=True) as connection:
        for statement in STATEMENTS:
            if statement.name in ("get", "recall", "by_ids"):
                continue
            calls = [[owner, *[None] * (len(statement.parameters) - 1)] for owner in OWNERS]
            cursor = psycopg.RawCursor(connection)
            with pytest.raises(psycopg.errors.FeatureNotSupported):
                cursor.execute(sharded.query(statement), sharded.values(statement, calls))


async def test_ids_rise_for_each_owner_whichever_node_the_calls_go_through(nodes: Sequence[str]) -> None:
    pools = [Pool(node, connections=2, prepare=None) for node in nodes]
    repositories = [PostgresTaskRepository(Database(pool, sharded=True)) for pool in pools]
    ids: dict[UserId, list[int]] = {owner: [] for owner in OWNERS}
    for number in range(12):
        tasks = repositories[number % len(nodes)]
        key = IdempotencyKey(f"key {number}") if number % 2 else None
        added = await asyncio.gather(*(tasks.add(owner, MILK, NOON, key) for owner in OWNERS for _ in "ab"))
        for task in added:
            ids[task.user_id].append(task.id)
    for pool in pools:
        await pool.close()
    for drawn in ids.values():
        assert sorted({*drawn}) == [*dict.fromkeys(drawn)]


async def test_no_write_commits_in_two_phases(cluster_pool: Pool, nodes: Sequence[str]) -> None:
    """The node that begins such a commit records it, until its recovery forgets it."""
    tasks = PostgresTaskRepository(Database(cluster_pool, sharded=True))
    before = _commits_in_two_phases(nodes)
    for owner in OWNERS:
        task = await tasks.add(owner, MILK, NOON)
        await tasks.add(owner, MILK, NOON, KEY)
        await tasks.add(owner, MILK, NOON, KEY)
        await tasks.update(owner, task.id, lambda task: task.toggle(LATER))
        await tasks.remove(owner, task.id)
    assert _commits_in_two_phases(nodes) <= before


def _commits_in_two_phases(nodes: Sequence[str]) -> set[str]:
    found = set()
    for node in nodes:
        with psycopg.connect(node) as connection:
            found |= {gid for [gid] in connection.execute("SELECT gid FROM pg_dist_transaction")}
    return found


async def test_settling_writes_the_log_of_the_shard_and_no_other(cluster_pool: Pool, nodes: Sequence[str]) -> None:
    database = Database(cluster_pool, sharded=True)
    tasks = PostgresTaskRepository(database)
    await tasks.page(ALICE, limit=1)
    await tasks._settle(ALICE, database.deadline())
    connections = [psycopg.connect(node, autocommit=True) for node in nodes]
    positions = [_position(connection) for connection in connections]
    for _ in range(50):
        await tasks._settle(ALICE, database.deadline())
    written = [_position(connection) - before for connection, before in zip(connections, positions, strict=True)]
    for connection in connections:
        connection.close()
    assert sum(bytes_ > 50 * 30 for bytes_ in written) == 1, written


def _position(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
    assert row
    return int(row[0])


async def test_expired_keys_of_the_shard_are_deleted_and_no_others(cluster_pool: Pool, cluster: str) -> None:
    tasks = PostgresTaskRepository(Database(cluster_pool, sharded=True))
    for owner in OWNERS:
        await tasks.add(owner, MILK, NOON, KEY)
    await tasks.add(ALICE, MILK, NOON + IdempotencyKey.LIFETIME, KEY)
    shard = "get_shard_id_for_distribution_column('tasks', {})"
    hers = f"{shard.format('owner')} = {shard.format(repr('alice'))}"
    async with await psycopg.AsyncConnection.connect(cluster, autocommit=True) as connection:
        kept = await connection.execute("SELECT user_id FROM task_creations")
        others = await connection.execute(
            f"SELECT owner FROM unnest(%s::text[]) AS owner WHERE NOT {hers}".encode(), [OWNERS]
        )
        assert {owner for [owner] in await kept.fetchall()} == {ALICE, *(owner for [owner] in await others.fetchall())}


async def test_a_process_that_began_before_the_distribution_goes_on(cluster_pool: Pool) -> None:
    """It sends the statements of an undistributed database until the first is refused."""
    tasks = PostgresTaskRepository(Database(cluster_pool))
    added = await asyncio.gather(*(tasks.add(owner, MILK, NOON) for owner in OWNERS))
    assert {task.user_id for task in added} == {*OWNERS}
    assert [[task] for task in added] == await asyncio.gather(*(tasks.page(owner, limit=9) for owner in OWNERS))
