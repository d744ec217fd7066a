"""A real PostgreSQL for the tests: one server for all workers, one database per worker."""

import os
import ssl
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import httpcore2
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each core: half of their time, tests wait for processes, databases and networks."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(scope="session", autouse=True)
def _certificates_loaded_once() -> Iterator[None]:
    """Loading the certificate authorities takes longer than most tests, and each HTTP client does it again."""
    load = httpcore2.default_ssl_context
    loaded = cache(lambda _environment, arguments: load(**dict(arguments)))

    def default_ssl_context(**arguments: Any) -> ssl.SSLContext:
        environment = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        return loaded(environment, tuple(arguments.items()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", default_ssl_context)
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def of_this_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder that all workers of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """URL of a server on which tests may create databases: TEST_DATABASE_URL, or a throwaway server."""
    if configured := os.environ.get("TEST_DATABASE_URL"):
        yield configured
        return
    with running(of_this_run(tmp_path_factory, worker_id) / "postgres", throwaway=True) as url:
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


@pytest.fixture(scope="session")
def admin(database: str) -> Iterator[psycopg.Connection]:
    """A connection to this worker's database in autocommit mode, open for the whole run: tests must not end it."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def pool(database: str, admin: psycopg.Connection) -> AsyncIterator[Pool]:
    """A connection pool on an empty, migrated database. Tests really commit."""
    admin.execute("DELETE FROM tasks; DELETE FROM task_creations")
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
