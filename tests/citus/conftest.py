"""A Citus cluster given by TEST_CITUS_URL, the URL of its coordinator. Its database is emptied."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from adapters.postgres import schema
from adapters.postgres.pool import Pool
from adapters.postgres.url import conninfo
from tests.databases import url
from tests.faults.program import program
from tests.faults.report import Row, table
from tests.faults.scenario import Stage

if "TEST_CITUS_URL" not in os.environ:
    collect_ignore = ["test_cluster.py", "test_faults.py", "test_http.py", "test_migration.py"]

_ROWS: list[Row] = []
_DROP = "DROP TABLE IF EXISTS tasks, task_creations, todo_alembic_version, alembic_version CASCADE"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _ROWS:
        terminalreporter.section("faults of the cluster")
        for line in table(_ROWS):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    return _ROWS


@asynccontextmanager
async def staged(folder: Path, coordinator: str, rows: list[Row]) -> AsyncIterator[Stage]:
    """A process that serves the database, without a proxy in between."""
    async with program(folder, url(coordinator)) as serving:
        yield Stage(cast(Any, None), cast(Any, None), serving.address, serving.process.pid, rows)


def drop_everything(coordinator: str) -> None:
    with psycopg.connect(coordinator, autocommit=True) as connection:
        connection.execute(_DROP)
        for [signature] in connection.execute(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE proname IN ('todo_add', 'todo_add_once')"
        ).fetchall():
            connection.execute(f"DROP FUNCTION {signature}".encode())


@pytest.fixture(scope="session")
def given_cluster() -> str:
    """Conninfo of the coordinator."""
    coordinator = conninfo(os.environ["TEST_CITUS_URL"])
    with psycopg.connect(coordinator) as connection:
        assert connection.info.dbname.endswith("test"), "the tests empty this database; its name has to end with test"
    return coordinator


@pytest.fixture(scope="session")
def cluster(given_cluster: str) -> str:
    """The same, with distributed tables."""
    drop_everything(given_cluster)
    schema.migrate(given_cluster)
    return given_cluster


@pytest.fixture
async def cluster_pool(cluster: str) -> AsyncIterator[Pool]:
    async with await psycopg.AsyncConnection.connect(cluster, autocommit=True) as connection:
        await connection.execute("DELETE FROM tasks; DELETE FROM task_creations")
    pool = Pool(cluster, connections=8, prepare=None)
    yield pool
    await pool.close()
