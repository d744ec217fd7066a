"""Databases that look like PostgreSQL, and would silently do something else with our statements."""

from collections.abc import Iterator

import psycopg
import pytest

from adapters.postgres import schema
from adapters.postgres.inspection import UnsuitableDatabase
from tests.databases import fresh_database


@pytest.fixture
def empty(server: str, worker_id: str) -> Iterator[str]:
    with fresh_database(server, f"engine_{worker_id}") as conninfo:
        yield conninfo


def test_a_database_that_pgdog_shards_is_refused(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA pgdog")
    with pytest.raises(UnsuitableDatabase, match=r"PgDog.*would store a task in each"):
        schema.migrate(empty)
    with pytest.raises(UnsuitableDatabase, match="PgDog"):
        schema.revision(empty)


def test_yugabytedb_is_refused(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION public.version() RETURNS text LANGUAGE sql "
            "AS $$ SELECT 'PostgreSQL 15.2-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu' $$"
        )
    with pytest.raises(UnsuitableDatabase, match=r"YugabyteDB.*order of creation"):
        schema.server(f"{empty} options='-c search_path=public,pg_catalog'")


def test_postgresql_is_accepted(empty: str) -> None:
    assert schema.server(empty).startswith("PostgreSQL ")
