from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine
from sqlmodel import SQLModel

from adapters.postgres import schema
from adapters.postgres.inspection import VERSION_TABLE
from adapters.postgres.tables import CreationRow, TaskRow
from adapters.postgres.url import direct
from tests.databases import fresh_database


@pytest.fixture
def empty(server: str, worker_id: str) -> Iterator[str]:
    with fresh_database(server, f"todo_empty_{worker_id}") as conninfo:
        yield conninfo


def catalogue(conninfo: str) -> dict[str, list[tuple[object, ...]]]:
    """Everything in PostgreSQL's catalogue about our tables, except the order of columns: one that a migration adds is
    the last."""
    queries = {
        "columns": "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default, "
        "is_identity, identity_generation, datetime_precision FROM information_schema.columns "
        f"WHERE table_schema = 'public' AND table_name <> '{VERSION_TABLE}' ORDER BY table_name, column_name",
        "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        f"WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> '{VERSION_TABLE}' ORDER BY 1, 2",
        "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes "
        f"WHERE schemaname = 'public' AND tablename <> '{VERSION_TABLE}' ORDER BY 1, 2",
    }
    with psycopg.connect(conninfo) as connection:
        return {subject: connection.execute(query.encode()).fetchall() for subject, query in queries.items()}


def test_the_migrations_create_the_tables_of_the_code(empty: str, server: str, worker_id: str) -> None:
    schema.migrate(empty)
    with fresh_database(server, f"todo_created_{worker_id}") as created:
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(created))
        SQLModel.metadata.create_all(engine)
        engine.dispose()
        assert catalogue(empty) == catalogue(created)
    found = catalogue(empty)
    rows = (CreationRow, TaskRow)
    assert [column[:2] for column in found["columns"]] == [
        (row.__tablename__, field) for row in rows for field in sorted(row.model_fields)
    ]
    assert ("tasks", "tasks_pkey", "PRIMARY KEY (user_id, id)") in found["constraints"]


def test_alembic_finds_no_difference_between_the_tables_and_the_database(database: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(database))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


def test_migrations_can_be_reverted_and_applied_again(empty: str) -> None:
    assert schema.revision(empty) is None
    assert schema.needs_migration(schema.revision(empty))
    schema.migrate(empty)
    migrated = catalogue(empty)
    assert schema.revision(empty) == schema.HEAD
    assert not schema.needs_migration(schema.HEAD)
    command.downgrade(schema.alembic_config(empty), "base")
    assert catalogue(empty)["columns"] == []
    assert schema.needs_migration(schema.revision(empty))
    schema.migrate(empty)
    assert catalogue(empty) == migrated


def test_migrating_again_changes_nothing_and_keeps_the_tasks(empty: str) -> None:
    schema.migrate(empty)
    with psycopg.connect(empty) as connection:
        connection.execute(
            "INSERT INTO tasks (user_id, title, completed, created_at, updated_at) "
            "VALUES ('a', 'b', false, now(), now())"
        )
    schema.migrate(empty)
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT user_id, title FROM tasks").fetchall() == [("a", "b")]


def test_concurrent_migrations_all_succeed(empty: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_migrate_in_a_process, [empty] * 4))
    assert schema.revision(empty) == schema.HEAD


def _migrate_in_a_process(conninfo: str) -> None:
    import subprocess
    import sys

    program = "import sys; from adapters.postgres import schema; schema.migrate(sys.argv[1])"
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", program, conninfo], check=True, cwd=root, capture_output=True)


def test_a_newer_database_needs_no_migration() -> None:
    assert not schema.needs_migration("9999")


def test_revisions_are_numbered_in_order() -> None:
    scripts = ScriptDirectory(str(Path(schema.__file__).with_name("migrations")))
    assert scripts.get_current_head() == schema.HEAD
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)
    assert all(len(revision) == 4 and revision.isdecimal() for revision in revisions)


@pytest.mark.parametrize(
    ("row", "constraint"),
    [
        ({"title": ""}, "tasks_title_not_empty"),
        ({"user_id": ""}, "tasks_user_id_not_empty"),
        ({"title": "x" * 256}, "character varying(255)"),
        ({"user_id": "x" * 256}, "character varying(255)"),
        ({"description": "x" * 5001}, "character varying(5000)"),
        ({"title": None}, "null value"),
        ({"completed": None}, "null value"),
    ],
)
def test_the_table_rejects_what_the_domain_rejects(database: str, row: dict[str, object], constraint: str) -> None:
    good = {"user_id": "a", "title": "b", "description": None, "completed": False}
    with (
        psycopg.connect(database) as connection,
        pytest.raises(psycopg.Error, match=constraint.replace("(", r"\(").replace(")", r"\)")),
    ):
        connection.execute(
            "INSERT INTO tasks (user_id, title, description, completed, created_at, updated_at) "
            "VALUES (%(user_id)s, %(title)s, %(description)s, %(completed)s, now(), now())",
            {**good, **row},
        )


def test_migrations_bypass_the_connection_pooler_of_neon() -> None:
    pooled = "host=ep-x-1-pooler.eu-central-1.aws.neon.tech dbname=app sslmode=require"
    assert conninfo_to_dict(direct(pooled)) == {
        "host": "ep-x-1.eu-central-1.aws.neon.tech",
        "dbname": "app",
        "sslmode": "require",
    }
    assert conninfo_to_dict(direct("dbname=app")) == {"dbname": "app"}
