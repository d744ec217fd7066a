"""Citus: distributes the tables by owner over the nodes of a cluster, and tells what it finds there."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from adapters.postgres import sharded
from adapters.postgres.failures import first_line
from adapters.postgres.inspection import VERSION_TABLE, UnsuitableDatabase
from adapters.postgres.statements import STATEMENTS, with_extras
from adapters.postgres.user_records import COUNT, ERASE_SOME, KEYS

SHARDS_PER_NODE = 4
"""To begin with. Batches become smaller with each shard; Citus can split shards later, but not merge them."""

_FOREIGN_KEYS = """
SELECT conname FROM pg_constraint
WHERE contype = 'f' AND ARRAY[conrelid, confrelid]::regclass[] && '{tasks, task_creations}'::regclass[]
"""

_NODES = """
SELECT count(*) FROM pg_dist_node WHERE noderole = 'primary' AND isactive AND shouldhaveshards
"""

_USE_UP_SEQUENCE = "SELECT setval('tasks_id_seq', seqmax) FROM pg_sequence WHERE seqrelid = 'tasks_id_seq'::regclass"
"""A process that still sends the statements for an undistributed database is refused, and learns what has changed. Its
INSERT would be carried out, but with an ID that is not the owner's next, and committed in two phases."""

_PLACEMENT = """
SELECT nodename || ':' || nodeport, isactive AND citus_check_connection_to_node(nodename, nodeport),
    count(shardid), coalesce(sum(shard_size), 0)::bigint / 1000000
FROM pg_dist_node LEFT JOIN citus_shards USING (nodename, nodeport)
WHERE noderole = 'primary' AND (shouldhaveshards OR shardid IS NOT NULL)
    AND coalesce(table_name = 'tasks'::regclass, true)
GROUP BY 1, 2 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Node:
    """A node that holds shards, or should."""

    name: str
    reachable: bool
    shards: int
    megabytes: int


def is_installed(connection: psycopg.Connection) -> bool:
    return bool(_value(connection, "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"))


def is_distributed(connection: psycopg.Connection) -> bool:
    """Through whichever node of the cluster; False without Citus."""
    return bool(_value(connection, sharded.IS_SHARDED.decode()))


def is_worker(connection: psycopg.Connection) -> bool:
    """Whether this is a node of a cluster other than its coordinator."""
    return is_installed(connection) and bool(_value(connection, "SELECT groupid > 0 FROM pg_dist_local_group"))


def refuse_worker(connection: psycopg.Connection) -> None:
    if is_worker(connection):
        raise UnsuitableDatabase("it is on a worker of Citus: migrations need the coordinator's address")


def revision_at_coordinator(connection: psycopg.Connection) -> str | None:
    """The table of the revision is not distributed."""
    query = f"SELECT version_num FROM {VERSION_TABLE}"
    row = connection.execute("SELECT result FROM run_command_on_coordinator(%s) WHERE success", [query]).fetchone()
    return str(row[0]) if row else None


def distribute(connection: psycopg.Connection) -> None:
    """Distributes what is not distributed yet, in one transaction, in which writes wait until the rows are copied.

    To be repeated after a node was added. Raises UnsuitableDatabase.
    """
    nodes = _require_nodes(connection)
    foreign_keys = [name for [name] in connection.execute(_FOREIGN_KEYS)]
    if foreign_keys:
        raise UnsuitableDatabase(f"its tables have foreign keys: drop {', '.join(foreign_keys)} first")
    try:
        with connection.transaction():
            connection.execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
            _distribute_tables(connection, SHARDS_PER_NODE * nodes)
            for signature, ddl in sharded.functions().items():
                connection.execute(ddl.encode())
                connection.execute("SELECT create_distributed_function(%s, 'owner', 'tasks')", [signature])
    except psycopg.errors.FeatureNotSupported as failure:
        raise UnsuitableDatabase(f"Citus cannot distribute it: {first_line(failure)}") from None
    connection.execute(_USE_UP_SEQUENCE)
    connection.execute("SELECT run_command_on_workers(%s)", [_USE_UP_SEQUENCE])


def nodes(connection: psycopg.Connection) -> Sequence[Node]:
    return [Node(*row) for row in connection.execute(_PLACEMENT)]


def plans(connection: psycopg.Connection) -> Sequence[tuple[str, str]]:
    """The name of each statement, and its plan for a batch of one call."""
    found = []
    for statement in (*STATEMENTS, *map(with_extras, STATEMENTS), COUNT, KEYS, ERASE_SOME):
        call = ["doctor", *[None] * (len(statement.parameters) - 1)]
        cursor = psycopg.RawCursor(connection)
        cursor.execute(b"EXPLAIN " + sharded.query(statement), sharded.values(statement, [call]))
        plan = "\n".join(line for [line] in cursor)
        found.append((statement.name, plan))
    return found


def touches_one_shard(plan: str) -> bool:
    """Whether Citus carries a statement out by one task, or by a function on the node itself."""
    if "Distributed Subplan" in plan or "INSERT/SELECT" in plan:
        return False
    return "Task Count: 1\n" in plan or plan.startswith("Function Scan on todo_add")


def _require_nodes(connection: psycopg.Connection) -> int:
    if not is_installed(connection):
        raise UnsuitableDatabase("DATABASE_CITUS is true, but it has no extension citus: run CREATE EXTENSION citus")
    found = _value(connection, _NODES)
    if not isinstance(found, int) or not found:
        raise UnsuitableDatabase(
            "Citus has no node for shards: add one with citus_add_node, or set DATABASE_CITUS=false to do without"
        )
    return found


def _distribute_tables(connection: psycopg.Connection, shards: int) -> None:
    distributed = {name for [name] in connection.execute("SELECT logicalrelid::text FROM pg_dist_partition")}
    if "tasks" not in distributed:
        connection.execute(
            "SELECT create_distributed_table('tasks', 'user_id', colocate_with => 'none', shard_count => %s)", [shards]
        )
    if "task_creations" not in distributed:
        connection.execute("SELECT create_distributed_table('task_creations', 'user_id', colocate_with => 'tasks')")


def _value(connection: psycopg.Connection, query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    return row and row[0]
