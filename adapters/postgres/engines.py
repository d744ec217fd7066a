"""Databases that speak PostgreSQL's protocol, accept our statements, and would silently do something else."""

import psycopg

from adapters.postgres.inspection import UnsuitableDatabase

_REASONS = {
    "YugabyteDB": "it caches IDs for each node, so that lists would not be in order of creation",
    "PgDog": "it sends some of our statements to every shard, and would store a task in each",
}

_QUESTION = """
SELECT CASE WHEN version() ~ '-YB-' THEN 'YugabyteDB' WHEN to_regnamespace('pgdog') IS NOT NULL THEN 'PgDog' END
"""
"""PgDog keeps a schema of its name in every database that it shards."""


def refuse_unsupported(connection: psycopg.Connection) -> None:
    """Raises UnsuitableDatabase."""
    row = connection.execute(_QUESTION).fetchone()
    if row and row[0]:
        raise UnsuitableDatabase(f"it is served by {row[0]}, which is not supported: {_REASONS[row[0]]}")
