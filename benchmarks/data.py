"""The database that all servers share, and what is in it."""

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

# Durable, as PostgreSQL is by itself. Nothing that it does on its own account starts in the middle of a measurement.
_QUIET = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "16GB"}
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
    """Somebody who calls, and which tasks are theirs."""

    user_id: str
    tasks: Sequence[int]


class Database:
    """One on a server of our own. `process` is the postmaster, `socket` the folder of its socket."""

    def __init__(self, server: str, name: str) -> None:
        self.name = name
        self.conninfo = make_conninfo(server, dbname=name)
        self.socket = str(conninfo_to_dict(server)["host"])
        self.process = int((FOLDER / "postmaster.pid").read_text().split()[0])

    def execute(self, *statements: str) -> None:
        """One after the other, each committed by itself."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def insert(self, owner: str, tasks: int, above: int = 0) -> None:
        """Tasks `above` + 1 to `above` + `tasks`; `owner` is SQL that says whose task number `n` is."""
        self.execute(_INSERT.format(owner=owner, tasks=tasks, above=above))

    def settle(self) -> None:
        """Statistics, the next id, and everything on disk."""
        self.execute(
            "SELECT setval(pg_get_serial_sequence('tasks', 'id'), (SELECT max(id) FROM tasks))",
            "VACUUM ANALYZE tasks",
            "CHECKPOINT",
        )

    def tidy(self) -> None:
        """Back to what was there before a measurement: created tasks and old versions are gone."""
        self.execute("DELETE FROM tasks WHERE user_id LIKE 'writer-%'", "VACUUM tasks")


@contextmanager
def databases(*names: str) -> Iterator[Sequence[Database]]:
    """Empty ones, with the schema of our migrations; gone when the context closes."""
    with local_postgres.running(FOLDER) as server:
        _on(server, *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in _QUIET.items()))
        _on(server, "SELECT pg_reload_conf()")
        drop = [f"DROP DATABASE IF EXISTS {name} WITH (FORCE)" for name in names]
        _on(server, *drop, *(f"CREATE DATABASE {name}" for name in names))
        try:
            made = [Database(server, name) for name in names]
            for each in made:
                schema.migrate(each.conninfo)
            yield made
        finally:
            _on(server, *drop)
    shutil.rmtree(FOLDER)  # gigabytes of write-ahead log


def _on(server: str, *statements: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def fill(into: Database) -> dict[str, Sequence[Owner]]:
    """The 100,000 tasks, each owner's spread over the table. Some owners of each kind, and writers, who have none."""
    into.insert(f"'small-' || (n - 1) % {SMALL}", 20 * SMALL)
    into.insert(f"'large-' || (n - 1) % {LARGE}", 100 * LARGE, above=20 * SMALL)
    into.settle()
    return {
        "small": [_owner("small", k, range(k + 1, 20 * SMALL + 1, SMALL)) for k in _some_of(SMALL)],
        "large": [_owner("large", k, range(20 * SMALL + k + 1, 100_001, LARGE)) for k in _some_of(LARGE)],
        "writer": [_owner("writer", k, ()) for k in range(CALLERS)],
    }


def _some_of(owners: int) -> Sequence[int]:
    return range(0, CALLERS * (owners // CALLERS), owners // CALLERS)


def _owner(kind: str, number: int, tasks: Sequence[int]) -> Owner:
    return Owner(f"{kind}-{number}", tasks)
