"""Faults of a cluster under load on both contracts: every history is checked, and users of the other node go on."""

import asyncio
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest

from tests.citus.conftest import staged
from tests.citus.nodes import Node, coordinator, workers
from tests.faults.report import Row
from tests.faults.scenario import (
    FELT,
    MOSTLY_SERVED,
    NO_ERROR,
    Fault,
    Stage,
    back_within,
    responses_within,
)

pytestmark = pytest.mark.scenario


@pytest.fixture(scope="session")
async def stage(cluster: str, tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("cluster"), cluster, rows) as ready:
        yield ready


@pytest.fixture
def node(cluster: str) -> Node:
    return workers(cluster)[0]


def on_other_nodes(cluster: str, node: Node) -> Callable[[str], bool]:
    """Tells which users' rows are not on the node."""
    query = """
        SELECT nodeport::text <> %s::text FROM citus_shards
        WHERE shardid = get_shard_id_for_distribution_column('tasks', %s::text)
    """

    def elsewhere(user: str) -> bool:
        with psycopg.connect(cluster) as connection:
            row = connection.execute(query, [node.port, user]).fetchone()
        return bool(row and row[0])

    return elsewhere


def assert_others_went_on(fault: Fault, elsewhere: Callable[[str], bool]) -> None:
    users = [user for load in fault.loads for user in load.users if elsewhere(user.name)]
    assert users
    failed = [(op.user, op.action, op.status) for user in users for op in user.operations if op.failed]
    assert not failed, failed


async def test_a_worker_is_killed_and_comes_back(stage: Stage, cluster: str, node: Node) -> None:
    elsewhere = on_other_nodes(cluster, node)
    async with stage.fault("a worker killed for 3 s", FELT, responses_within(6), back_within(3)) as fault:
        fault.begins()
        node.kill()
        await asyncio.sleep(3)
        await asyncio.to_thread(node.start)
        fault.ends()
    assert_others_went_on(fault, elsewhere)


async def test_a_worker_hangs(stage: Stage, cluster: str, node: Node) -> None:
    elsewhere = on_other_nodes(cluster, node)
    async with stage.fault("a worker hangs for 8 s", FELT, responses_within(6), back_within(3)) as fault:
        fault.begins()
        node.freeze()
        await asyncio.sleep(8)
        node.thaw()
        fault.ends()
    assert_others_went_on(fault, elsewhere)


async def test_the_coordinator_is_killed_and_comes_back(stage: Stage, cluster: str) -> None:
    node = coordinator(cluster)
    async with stage.fault("the coordinator killed for 3 s", FELT, responses_within(6), back_within(3)) as fault:
        fault.begins()
        node.kill()
        await asyncio.sleep(3)
        await asyncio.to_thread(node.start)
        fault.ends()


async def test_shards_are_moved_and_balanced_again(stage: Stage, cluster: str, node: Node) -> None:
    async with (
        await psycopg.AsyncConnection.connect(cluster, autocommit=True) as operator,
        stage.fault("shards moved away and back", NO_ERROR, responses_within(6)) as fault,
    ):
        fault.begins()
        cursor = await operator.execute(
            "SELECT shardid, nodename, nodeport FROM citus_shards WHERE table_name = 'tasks'::regclass ORDER BY shardid"
        )
        shards = await cursor.fetchall()
        _, host, port = next(shard for shard in shards if str(shard[2]) != node.port)
        for shard, source, source_port in [shard for shard in shards if str(shard[2]) == node.port][:2]:
            await operator.execute(
                "SELECT citus_move_shard_placement(%s, %s, %s, %s, %s, 'force_logical')",
                [shard, source, source_port, host, port],
            )
        await operator.execute("SELECT citus_rebalance_start(shard_transfer_mode => 'force_logical')")
        await operator.execute("SELECT citus_rebalance_wait()")
        fault.ends()


async def test_every_shard_is_split(stage: Stage, cluster: str) -> None:
    """Owners whose calls shared batches are in different shards then.

    Writes to the shard wait: Citus's other mode may hang where rows are updated (citusdata/citus, issue 6790).
    """
    async with (
        await psycopg.AsyncConnection.connect(cluster, autocommit=True) as operator,
        stage.fault("every shard split into two", MOSTLY_SERVED, responses_within(6)) as fault,
    ):
        fault.begins()
        cursor = await operator.execute(
            "SELECT shardid, (shardminvalue::bigint + shardmaxvalue::bigint) / 2, groupid, nodeid "
            "FROM pg_dist_shard JOIN pg_dist_placement USING (shardid) "
            "JOIN pg_dist_node USING (groupid) WHERE logicalrelid = 'tasks'::regclass"
        )
        for shard, middle, _, nodeid in await cursor.fetchall():
            await operator.execute(
                "SELECT citus_split_shard_by_split_points(%s, ARRAY[%s::text], ARRAY[%s, %s], 'block_writes')",
                [shard, str(middle), nodeid, nodeid],
            )
        fault.ends()


async def test_transactions_of_others_are_in_a_distributed_deadlock(stage: Stage, cluster: str, node: Node) -> None:
    elsewhere = on_other_nodes(cluster, node)
    async with (
        await psycopg.AsyncConnection.connect(cluster) as first,
        await psycopg.AsyncConnection.connect(cluster) as second,
        stage.fault("a distributed deadlock", NO_ERROR, responses_within(6)) as fault,
    ):
        users = [user.name for load in fault.loads for user in load.users]
        here = next(name for name in users if not elsewhere(name))
        there = next(name for name in users if elsewhere(name))
        change = "UPDATE tasks SET title = title WHERE user_id = %s"
        fault.begins()
        await first.execute(change, [here])
        await second.execute(change, [there])
        outcomes = await asyncio.gather(
            first.execute(change, [there]), second.execute(change, [here]), return_exceptions=True
        )
        await asyncio.gather(first.rollback(), second.rollback())
        fault.ends()
        deadlocks = [outcome for outcome in outcomes if isinstance(outcome, psycopg.errors.DeadlockDetected)]
        fault.expect(len(deadlocks) == 1, "Citus ends one of the two")


async def test_a_transaction_in_doubt_locks_tasks_until_it_is_recovered(stage: Stage, cluster: str, node: Node) -> None:
    """A node has prepared it, and the coordinator, which would have committed it, is gone."""
    elsewhere = on_other_nodes(cluster, node)
    async with stage.fault("a transaction in doubt for 6 s", responses_within(6), back_within(1.5)) as fault:
        locked = next(user.name for load in fault.loads for user in load.users if not elsewhere(user.name))
        fault.begins()
        [[shard]] = node.execute(f"SELECT get_shard_id_for_distribution_column('tasks', '{locked}'::text)")
        with psycopg.connect(node.conninfo, autocommit=True) as connection:
            connection.execute("SET citus.enable_manual_changes_to_shards = on")
            connection.execute(
                f"BEGIN; UPDATE tasks_{shard} SET title = title WHERE user_id = '{locked}';"
                "PREPARE TRANSACTION 'citus_0_1_1_1'".encode()
            )
        await asyncio.sleep(6)
        coordinator(cluster).execute("SELECT recover_prepared_transactions()")
        fault.ends()
    users = [user for load in fault.loads for user in load.users if user.name != locked]
    assert not [op for user in users for op in user.operations if op.failed]
    assert any(op.failed for load in fault.loads for user in load.users for op in user.operations)
