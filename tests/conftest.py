"""A real PostgreSQL for the tests: one server for all workers, one database per worker."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import cast

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from adapters.postgres import schema
from adapters.postgres.connection import Connection
from adapters.postgres.libpq import LibpqConnection
from adapters.postgres.pool import Pool
from entrypoints.cli.local_postgres import running
from tests.databases import fresh_database

TEMPLATE = "todo_template"
LOCK = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=10_000, help="how many random orders of events the batcher meets")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """URL of a server on which tests may create databases: TEST_DATABASE_URL, or a throwaway server."""
    if configured := os.environ.get("TEST_DATABASE_URL"):
        yield configured
        return
    of_this_run = tmp_path_factory.getbasetemp()
    with running((of_this_run if worker_id == "master" else of_this_run.parent) / "postgres", throwaway=True) as url:
        yield url


@pytest.fixture(scope="session")
def template(server: str) -> str:
    """The name of a migrated database, created by the first worker."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone():
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        schema.migrate(make_conninfo(server, dbname=TEMPLATE))  # on TEST_DATABASE_URL it may be an earlier run's
    return TEMPLATE


@pytest.fixture(scope="session")
def database(server: str, template: str, worker_id: str) -> Iterator[str]:
    """The conninfo of this worker's own migrated database."""
    with fresh_database(server, f"todo_{worker_id}", template) as conninfo:
        yield conninfo


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A connection pool on an empty, migrated database. Tests really commit."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("DELETE FROM tasks; DELETE FROM task_creations")
    pool = Pool(database, connections=8, prepare=None)
    yield pool
    await pool.close()


@pytest.fixture(params=[True, False], ids=["batching", "no_batching"])
def batching(request: pytest.FixtureRequest) -> bool:
    """Tests that use this fixture run with batching and without."""
    return bool(request.param)


@pytest.fixture(params=[LibpqConnection, Connection], ids=["libpq", "psycopg"])
def driver(request: pytest.FixtureRequest) -> type[Connection]:
    """Tests that use this fixture run with libpq itself and with psycopg's `execute`."""
    return cast("type[Connection]", request.param)
