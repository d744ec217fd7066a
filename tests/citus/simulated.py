"""Four shards on two nodes that are one PostgreSQL: the functions and tables of Citus that the program uses."""

from collections.abc import Sequence

import psycopg

from adapters.postgres import sharded
from adapters.postgres.connection import Rows
from adapters.postgres.pool import Pool

_CITUS = """
CREATE TABLE pg_dist_placement AS SELECT shardid, shardid % 2 AS groupid FROM generate_series(1::bigint, 4) AS shardid;
CREATE FUNCTION get_shard_id_for_distribution_column(regclass, text) RETURNS bigint LANGUAGE sql
    AS 'SELECT abs(hashtext($2)::bigint) % (SELECT count(*) FROM pg_dist_placement) + 1';
CREATE FUNCTION shard_name(regclass, bigint) RETURNS text LANGUAGE sql AS 'SELECT $1::text';
CREATE TABLE pg_dist_local_group AS SELECT DISTINCT groupid FROM pg_dist_placement;
"""

_GROUPS = """
SELECT count(DISTINCT get_shard_id_for_distribution_column('tasks', owner)) FROM unnest($1::text[]) AS owner
"""


def simulate_shards(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(_CITUS)
        for ddl in sharded.functions().values():
            connection.execute(ddl.encode())


async def split_shards(connection: psycopg.AsyncConnection, number: int) -> None:
    """From now on there are so many shards."""
    async with connection.transaction():
        await connection.execute("DELETE FROM pg_dist_placement")
        await connection.execute(
            "INSERT INTO pg_dist_placement SELECT shardid, shardid %% 2 FROM generate_series(1::bigint, %s) AS shardid",
            [number],
        )


class ShardedPool(Pool):
    """Records the owners of each batch that is sent to a shard."""

    batches: tuple[str, ...] = ()

    async def run(self, query: bytes, values: Sequence[str], deadline: float) -> Rows:
        if b"get_shard_id" not in query and values:
            self.batches += (values[0],)
        return await super().run(query, values, deadline)

    def groups(self, conninfo: str) -> set[int]:
        """Numbers of shards whose owners were in one batch."""
        with psycopg.connect(conninfo, cursor_factory=psycopg.RawCursor) as connection:
            return {number for owners in self.batches for [number] in connection.execute(_GROUPS, [owners])}
