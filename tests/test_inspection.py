"""Databases that other programs use too, and databases that cannot hold the tasks."""

from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest
from alembic import command
from psycopg.conninfo import make_conninfo

from adapters.postgres import inspection, schema
from adapters.postgres.inspection import UnsuitableDatabase
from adapters.postgres.tables import CreationRow, TaskRow
from tests.databases import fresh_database, serving_role

FOREIGN_TASKS: LiteralString = (
    "CREATE TABLE tasks (id serial PRIMARY KEY, user_id text, title text NOT NULL, description text, "
    "completed boolean, created_at timestamptz, updated_at timestamptz)"
)
ALEMBIC: LiteralString = "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"


@pytest.fixture
def empty(server: str, worker_id: str) -> Iterator[str]:
    with fresh_database(server, f"todo_shared_{worker_id}") as conninfo:
        yield conninfo


def execute(conninfo: str, *statements: LiteralString) -> list[tuple[object, ...]]:
    """The rows of the last statement."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def columns(conninfo: str) -> list[tuple[object, ...]]:
    return execute(
        conninfo,
        "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2, 3",
    )


def as_an_earlier_release_left_it(conninfo: str, revision: str) -> None:
    """Migrated to the revision, which is recorded in `alembic_version`, as all releases before this one did."""
    command.upgrade(schema.alembic_config(conninfo), revision)
    execute(
        conninfo,
        "ALTER TABLE todo_alembic_version RENAME TO alembic_version",
        "ALTER INDEX todo_alembic_version_pkc RENAME TO alembic_version_pkc",
    )


def test_the_inspection_knows_every_table() -> None:
    assert set(inspection.TABLES) == {row.__tablename__ for row in (TaskRow, CreationRow)}
    assert set(inspection.TABLES.values()) <= set(inspection.REVISIONS)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_a_database_in_another_encoding_is_refused(server: str, worker_id: str, encoding: str) -> None:
    options = f"LC_COLLATE 'C' LC_CTYPE 'C' ENCODING '{encoding}'"
    with fresh_database(server, f"todo_encoded_{worker_id}", options=options) as conninfo:
        for use in (schema.server, schema.revision, schema.migrate):
            with pytest.raises(
                UnsuitableDatabase, match=f"its encoding is {encoding}; create one with ENCODING 'UTF8'"
            ):
                use(conninfo)


@pytest.mark.parametrize("foreign", ["ae1027a6acf2", "0001", schema.HEAD, "9999"])
def test_the_revision_of_another_program_is_neither_believed_nor_changed(empty: str, foreign: str) -> None:
    execute(empty, ALEMBIC)
    with psycopg.connect(empty) as connection:
        connection.execute("INSERT INTO alembic_version VALUES (%s)", [foreign])
    assert schema.revision(empty) is None
    for _ in range(2):
        schema.migrate(empty)
        assert schema.revision(empty) == schema.HEAD
        assert execute(empty, "SELECT version_num FROM alembic_version") == [(foreign,)]
    command.downgrade(schema.alembic_config(empty), "base")
    assert schema.revision(empty) is None
    assert execute(empty, "SELECT version_num FROM alembic_version") == [(foreign,)]


@pytest.mark.parametrize(
    "statements",
    [
        (FOREIGN_TASKS,),
        ("CREATE TABLE tasks ()",),
        ("CREATE VIEW tasks AS SELECT 1 AS id",),
        ("CREATE TABLE task_creations (id integer)",),
        (FOREIGN_TASKS, ALEMBIC, "INSERT INTO alembic_version VALUES ('0001')"),
        (FOREIGN_TASKS, ALEMBIC, "INSERT INTO alembic_version VALUES ('ae1027a6acf2')"),
    ],
)
def test_a_table_of_another_program_is_refused_and_not_used(empty: str, statements: tuple[LiteralString, ...]) -> None:
    execute(empty, *statements)
    before = columns(empty)
    for use in (schema.revision, schema.migrate):
        with pytest.raises(UnsuitableDatabase, match=r"has a table task\w+ that `todo migrate` did") as refusal:
            use(empty)
        assert "\n" not in str(refusal.value)
    assert columns(empty) == before


def test_a_table_that_appeared_before_the_migration_that_creates_it_is_refused(empty: str) -> None:
    command.upgrade(schema.alembic_config(empty), "0001")
    execute(empty, "CREATE TABLE task_creations (id integer)")
    with pytest.raises(UnsuitableDatabase, match="has a table task_creations"):
        schema.migrate(empty)


@pytest.mark.parametrize("lost", ["tasks", "task_creations"])
def test_a_revision_without_its_tables_is_not_believed(empty: str, lost: str) -> None:
    schema.migrate(empty)
    execute(empty, "DROP TABLE tasks" if lost == "tasks" else "DROP TABLE task_creations")
    for use in (schema.revision, schema.migrate):
        with pytest.raises(UnsuitableDatabase, match=f"the table {lost} of that revision is missing"):
            use(empty)
    if lost == "tasks":
        execute(empty, FOREIGN_TASKS)
        with pytest.raises(UnsuitableDatabase, match="the table tasks of that revision is missing"):
            schema.revision(empty)


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_our_revision_moves_to_a_table_of_its_own_and_earlier_releases_find_theirs_up_to_date(
    empty: str, revision: str
) -> None:
    as_an_earlier_release_left_it(empty, revision)
    assert schema.revision(empty) == revision
    assert schema.obstacle_to_writes(empty) is None, "the new table is not missed before the migration"
    schema.migrate(empty)
    assert schema.revision(empty) == schema.HEAD
    assert execute(empty, "SELECT version_num FROM todo_alembic_version") == [(schema.HEAD,)]
    assert execute(empty, "SELECT version_num FROM alembic_version") == [(schema.HEAD,)]
    protected = "SELECT relrowsecurity FROM pg_class WHERE relname = 'todo_alembic_version'"
    assert execute(empty, protected) == [(True,)]


def test_once_it_has_moved_the_former_table_is_left_alone(empty: str) -> None:
    as_an_earlier_release_left_it(empty, schema.HEAD)
    schema.migrate(empty)
    execute(empty, "UPDATE alembic_version SET version_num = 'ae1027a6acf2'")
    command.downgrade(schema.alembic_config(empty), "0001")
    schema.migrate(empty)
    assert execute(empty, "SELECT version_num FROM alembic_version") == [("ae1027a6acf2",)]
    execute(empty, "DROP TABLE alembic_version")
    assert schema.revision(empty) == schema.HEAD


def test_tables_live_in_the_first_schema_of_the_search_path(empty: str) -> None:
    """Whatever tables another program has in the others."""
    execute(empty, "CREATE SCHEMA app", FOREIGN_TASKS, ALEMBIC, "INSERT INTO alembic_version VALUES ('0001')")
    before = columns(empty)
    there = make_conninfo(empty, options="-csearch_path=app,public")
    assert schema.revision(there) is None
    schema.migrate(there)
    assert schema.revision(there) == schema.HEAD
    assert schema.obstacle_to_writes(there) is None
    assert {table for place, table, *_ in columns(empty) if place == "app"} == {
        *inspection.TABLES,
        inspection.VERSION_TABLE,
    }
    assert [column for column in columns(empty) if column[0] == "public"] == before


def test_a_search_path_without_any_schema_is_refused(empty: str) -> None:
    nowhere = make_conninfo(empty, options="-csearch_path=nowhere")
    for use in (schema.revision, schema.migrate):
        with pytest.raises(UnsuitableDatabase, match="no schema of its search_path exists"):
            use(nowhere)


def test_a_read_only_database_is_not_migrated(empty: str) -> None:
    read_only = make_conninfo(empty, options="-cdefault_transaction_read_only=on")
    with pytest.raises(UnsuitableDatabase, match="read-only") as refusal:
        schema.migrate(read_only)
    assert "\n" not in str(refusal.value)
    assert columns(empty) == []


def test_nothing_is_missing_for_a_serving_role(database: str, worker_id: str) -> None:
    with serving_role(database, f"serving_{worker_id}") as conninfo:
        assert schema.revision(conninfo) == schema.HEAD
        assert schema.obstacle_to_writes(conninfo) is None


@pytest.mark.parametrize(
    ("privilege", "missing"),
    [
        ("SELECT ON tasks", "SELECT on tasks"),
        ("INSERT, DELETE ON task_creations", "INSERT on task_creations, DELETE on task_creations"),
        ("USAGE ON SEQUENCE tasks_id_seq", "USAGE on public.tasks_id_seq"),
    ],
)
def test_each_missing_privilege_is_named(database: str, worker_id: str, privilege: str, missing: str) -> None:
    with serving_role(database, f"serving_{worker_id}", privilege) as conninfo:
        assert schema.obstacle_to_writes(conninfo) == f"the role serving_{worker_id} lacks {missing}"


def test_a_session_that_is_read_only_is_named(database: str) -> None:
    read_only = make_conninfo(database, options="-cdefault_transaction_read_only=on")
    assert schema.obstacle_to_writes(read_only) == "default_transaction_read_only is on: writes will fail"
