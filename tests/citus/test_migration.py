"""`todo migrate` on a coordinator that holds the data, and what it refuses."""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from adapters.postgres import schema
from adapters.postgres.database import Database
from adapters.postgres.inspection import UnsuitableDatabase
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from tests.citus.conftest import drop_everything, staged
from tests.cli.conftest import Todo
from tests.contracts.task_repository import ALICE, MILK, NOON
from tests.databases import fresh_database, url
from tests.faults.report import Row
from tests.faults.scenario import MOSTLY_SERVED, SECRET, back_within, responses_within

pytestmark = pytest.mark.scenario

TASKS = 100_000
GUIDE = Path("docs/how-to/run-on-citus.md").read_text()


@pytest.fixture
def undistributed(given_cluster: str) -> Iterator[str]:
    """Our tables on the coordinator alone."""
    drop_everything(given_cluster)
    schema.migrate(given_cluster, distributed=False)
    yield given_cluster
    drop_everything(given_cluster)
    schema.migrate(given_cluster)


def value(conninfo: str, query: str) -> object:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row and row[0]


async def test_a_single_database_becomes_distributed_while_it_is_used(
    undistributed: str, tmp_path: Path, rows: list[Row]
) -> None:
    with psycopg.connect(undistributed, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO tasks (user_id, title, completed, created_at, updated_at) "
            "SELECT 'owner ' || number % 1000, 'task ' || number, false, now(), now() "
            f"FROM generate_series(1, {TASKS}) AS number"
        )
    migrate = Todo(tmp_path)
    async with (
        staged(tmp_path, undistributed, rows) as stage,
        stage.fault(
            f"`todo migrate` distributes {TASKS} tasks", MOSTLY_SERVED, responses_within(6), back_within(1.5)
        ) as fault,
    ):
        fault.begins()
        settings = {"DATABASE_URL": url(undistributed), "BETTER_AUTH_SECRET": SECRET}
        migrated = await asyncio.to_thread(migrate.run, "migrate", **settings)
        fault.ends()
        fault.expect("The tables are distributed by Citus." in migrated.stdout, migrated.stdout + migrated.stderr)
    assert value(undistributed, "SELECT count(*) FROM tasks WHERE user_id LIKE 'owner %'") == TASKS
    assert value(undistributed, "SELECT count(DISTINCT nodeport) FROM citus_shards WHERE shard_size > 0") == 2


def test_it_can_be_repeated_and_adds_what_is_missing(undistributed: str) -> None:
    with psycopg.connect(undistributed, autocommit=True) as connection:
        connection.execute("SELECT create_distributed_table('tasks', 'user_id', shard_count => 6)")
    for _ in range(2):
        schema.migrate(undistributed)
    tables = "SELECT string_agg(table_name || ' ' || shard_count, ', ' ORDER BY table_name::text) FROM citus_tables"
    assert value(undistributed, tables) == "task_creations 6, tasks 6"
    assert value(undistributed, "SELECT partmethod FROM pg_dist_partition WHERE logicalrelid::text ~ 'version'") is None


def test_it_refuses_tables_with_foreign_keys(undistributed: str) -> None:
    with psycopg.connect(undistributed, autocommit=True) as connection:
        connection.execute("CREATE TABLE notes (user_id varchar, id bigint)")
        connection.execute("ALTER TABLE notes ADD CONSTRAINT of_task FOREIGN KEY (user_id, id) REFERENCES tasks")
        try:
            with pytest.raises(UnsuitableDatabase, match="foreign keys: drop of_task first"):
                schema.migrate(undistributed)
        finally:
            connection.execute("DROP TABLE notes")
    assert not schema.is_distributed(undistributed)


def test_it_refuses_a_cluster_without_nodes_for_shards(undistributed: str) -> None:
    change = (
        "SELECT citus_set_node_property(nodename, nodeport, 'shouldhaveshards', {}) FROM pg_dist_node WHERE groupid > 0"
    )
    value(undistributed, f"SELECT count(*) FROM ({change.format('false')}) AS changed")
    try:
        with pytest.raises(UnsuitableDatabase, match="Citus has no node for shards"):
            schema.migrate(undistributed)
    finally:
        value(undistributed, f"SELECT count(*) FROM ({change.format('true')}) AS changed")


def test_it_refuses_a_worker(cluster: str) -> None:
    worker = value(cluster, "SELECT nodeport FROM pg_dist_node WHERE shouldhaveshards LIMIT 1")
    with pytest.raises(UnsuitableDatabase, match="need the coordinator"):
        schema.migrate(f"{cluster} port={worker}")


def test_a_worker_knows_the_revision(cluster: str) -> None:
    worker = value(cluster, "SELECT nodeport FROM pg_dist_node WHERE shouldhaveshards LIMIT 1")
    assert schema.revision(f"{cluster} port={worker}") == schema.HEAD


async def test_the_way_back_to_a_single_database(cluster: str, server: str, tmp_path: Path) -> None:
    """As the guide says. IDs go on above those that were drawn."""
    [commands] = re.findall(r"```sh\n(todo migrate.*?)```", GUIDE, re.DOTALL)
    with fresh_database(server, "todo_back") as single:
        pools = [Pool(conninfo, connections=1, prepare=None) for conninfo in (cluster, single)]
        before = await PostgresTaskRepository(Database(pools[0])).add(ALICE, MILK, NOON)
        settings = {"CLUSTER": url(cluster), "DATABASE_URL": url(single), "BETTER_AUTH_SECRET": SECRET}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        copied = await asyncio.to_thread(Todo(tmp_path).execute, ["sh", "-ec", commands], PATH=path, **settings)
        assert copied.returncode == 0, copied.stderr
        tasks = PostgresTaskRepository(Database(pools[1]))
        after = await tasks.add(ALICE, MILK, NOON)
        assert [before, after] == await tasks.page(ALICE, limit=9)
        for pool in pools:
            await pool.close()
