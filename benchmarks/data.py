"""The database that all servers share, and its tasks."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.postgres import schema
from entrypoints.cli import local_postgres

FOLDER = Path(__file__).with_name(".data") / "postgres"
CALLERS = 200  # of each kind
SMALL, LARGE = 2500, 500  # owners of 20 and of 100 tasks: 100,000 tasks in all

# Durable, as by default; but no background work starts in the middle of a measurement, and all servers' pools fit.
_SETTINGS = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "16GB", "max_connections": "200"}
_INSERT = """
    INSERT INTO tasks (user_id, id, title, description, completed, created_at, updated_at) OVERRIDING SYSTEM VALUE
    SELECT {owner}, n + {above}, 'Something to be done, number ' || n,
           CASE WHEN n % 2 = 0 THEN 'In a few words, what there is to know about number ' || n END,
           n % 3 = 0, at, at
    FROM generate_series(1, {tasks}) AS n,
         LATERAL (SELECT timestamptz '2026-01-01' + n * interval '1 second' AS at) AS time
"""


@dataclass(frozen=True, slots=True)
class Owner:
    """A caller and the IDs of their tasks."""

    user_id: str
    tasks: Sequence[int]


class Database:
    """A database on our private server. `process` is the postmaster, `socket` the directory of its socket."""

    def __init__(self, server: str, name: str) -> None:
        self.name = name
        self.conninfo = make_conninfo(server, dbname=name)
        self.socket = str(conninfo_to_dict(server)["host"])
        self.process = int((FOLDER / "postmaster.pid").read_text().split()[0])

    def execute(self, *statements: str) -> None:
        """Executes the statements in order, in autocommit mode."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def insert(self, owner: str, tasks: int, above: int = 0) -> None:
        """Inserts tasks with IDs from `above` + 1. `owner` is an SQL expression for the owner of task number `n`."""
        self.execute(_INSERT.format(owner=owner, tasks=tasks, above=above))

    def settle(self) -> None:
        """Sets the ID sequence, updates statistics, and writes everything to disk."""
        self.execute(
            "SELECT setval(pg_get_serial_sequence('tasks', 'id'), (SELECT max(id) FROM tasks))",
            "VACUUM ANALYZE tasks",
            "CHECKPOINT",
        )

    def tidy(self) -> None:
        """Removes the tasks and dead rows that a measurement has left."""
        self.execute("DELETE FROM tasks WHERE user_id LIKE 'writer-%'", "VACUUM tasks")


@contextmanager
def databases(*names: str) -> Iterator[Sequence[Database]]:
    """Empty databases with the schema of our migrations, dropped when the context closes."""
    with local_postgres.running(FOLDER) as server:
        _on(server, *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in _SETTINGS.items()))
    with local_postgres.running(FOLDER) as server:  # again: max_connections is read at the start
        drop = [f"DROP DATABASE IF EXISTS {name} WITH (FORCE)" for name in names]
        _on(server, *drop, *(f"CREATE DATABASE {name}" for name in names))
        try:
            created = [Database(server, name) for name in names]
            for database in created:
                schema.migrate(database.conninfo)
            yield created
        finally:
            _on(server, *drop)
    shutil.rmtree(FOLDER)  # gigabytes of write-ahead log


def _on(server: str, *statements: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def fill(database: Database) -> None:
    """Inserts 100,000 tasks, those of each owner spread over the table."""
    database.insert(f"'small-' || (n - 1) % {SMALL}", 20 * SMALL)
    database.insert(f"'large-' || (n - 1) % {LARGE}", 100 * LARGE, above=20 * SMALL)
    database.settle()


def callers_of(server: int) -> dict[str, Sequence[Owner]]:
    """Owners of each kind, and writers, who have no tasks. Each server has users of its own: no other changes their
    tasks. Those of 100 tasks, who only read, are the same for all."""
    return {
        "small": [_owner("small", k + server, range(k + server + 1, 20 * SMALL + 1, SMALL)) for k in _some_of(SMALL)],
        "large": [_owner("large", k, range(20 * SMALL + k + 1, 100_001, LARGE)) for k in _some_of(LARGE)],
        "writer": [_owner("writer", k, ()) for k in range(CALLERS)],
    }


def _some_of(owners: int) -> Sequence[int]:
    return range(0, CALLERS * (owners // CALLERS), owners // CALLERS)


def _owner(kind: str, number: int, tasks: Sequence[int]) -> Owner:
    return Owner(f"{kind}-{number}", tasks)
