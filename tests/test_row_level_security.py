"""Nobody but the owner of the tables and the serving role reaches a row, whatever was granted to whom."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from psycopg import sql
from psycopg.conninfo import make_conninfo

from adapters.postgres import schema
from adapters.postgres.access import CLOSED_AT, CannotServe
from tests.databases import fresh_database

GRANTS = """
GRANT USAGE ON SCHEMA public TO {authenticated}, {anonymous};
GRANT SELECT, UPDATE, INSERT, DELETE ON ALL TABLES IN SCHEMA public TO {authenticated}, {anonymous};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {authenticated}, {anonymous};
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT SELECT, UPDATE, INSERT, DELETE ON TABLES TO {authenticated}, {anonymous};
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {authenticated}, {anonymous};
"""
"""What Neon's Data API runs where it is enabled; with sequences, which makes it worse."""


class Roles:
    """Roles of one test, with names that no other worker uses."""

    def __init__(self, server: str, worker: str) -> None:
        self._server, self._worker = server, worker
        self._made: list[str] = []

    def __call__(self, name: str, options: str = "NOLOGIN") -> str:
        full = f"{name}_{self._worker}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE ROLE {} " + options).format(sql.Identifier(full)))
        self._made.append(full)
        return full

    def drop(self) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            for name in self._made:
                connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def roles(server: str, worker_id: str) -> Iterator[Roles]:
    made = Roles(server, worker_id)
    yield made
    made.drop()


@pytest.fixture
def empty(roles: Roles, server: str, worker_id: str) -> Iterator[str]:
    with fresh_database(server, f"todo_security_{worker_id}") as conninfo:
        yield conninfo


@contextmanager
def acting_as(conninfo: str, role: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        yield connection


def execute(conninfo: str, statement: str, **names: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        parts = {key: sql.Identifier(name) for key, name in names.items()}
        connection.execute(sql.SQL(statement).format(**parts))


def add_rows(conninfo: str) -> None:
    """A row in each table that a stranger might want, as far as the table exists."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO tasks (user_id, title, completed, created_at, updated_at) "
            "VALUES ('a', 'b', false, now(), now())"
        )
        if connection.execute("SELECT to_regclass('task_creations')").fetchone() != (None,):
            connection.execute(
                "INSERT INTO task_creations VALUES ('a', gen_random_uuid(), 'd', 1, now()) ON CONFLICT DO NOTHING"
            )


def tables(conninfo: str) -> Sequence[tuple[str, str]]:
    """Every table, with a column that can be updated. Found in the catalogue, so that no later table is forgotten."""
    with psycopg.connect(conninfo) as connection:
        return connection.execute(
            "SELECT table_name, min(column_name) FROM information_schema.columns "
            "WHERE table_schema = 'public' AND is_identity = 'NO' GROUP BY 1"
        ).fetchall()


def reached(conninfo: str, role: str) -> set[str]:
    """What the role can do with which table, by trying, each undone."""
    found = set()
    with acting_as(conninfo, role) as connection:
        for table, column in tables(conninfo):
            for action, statement in {
                "read": f"SELECT * FROM {table}",
                "update": f"UPDATE {table} SET {column} = {column}",
                "delete": f"DELETE FROM {table}",
                "insert": f"INSERT INTO {table} DEFAULT VALUES",
            }.items():
                with connection.transaction(force_rollback=True):
                    try:
                        rows = connection.execute(statement.encode()).rowcount
                    except psycopg.errors.InsufficientPrivilege:
                        rows = 0
                    except psycopg.errors.NotNullViolation:  # the row itself would have been admitted
                        rows = 1
                    if rows:
                        found.add(f"{action} {table}")
    return found


def test_with_the_grants_of_the_data_api_a_stranger_reaches_no_row_at_any_revision(empty: str, roles: Roles) -> None:
    authenticated, anonymous = roles("authenticated"), roles("anonymous")
    execute(empty, GRANTS, authenticated=authenticated, anonymous=anonymous)
    config = schema.alembic_config(empty)
    revisions = sorted(script.revision for script in ScriptDirectory.from_config(config).walk_revisions())
    for revision in revisions:
        command.upgrade(config, revision)
        add_rows(empty)
        for stranger in (authenticated, anonymous):
            if revision < CLOSED_AT:
                assert {"read tasks", "update tasks", "delete tasks", "insert tasks"} <= reached(empty, stranger)
            else:
                assert reached(empty, stranger) == set(), revision
                execute(empty, GRANTS, authenticated=authenticated, anonymous=anonymous)
                assert reached(empty, stranger) == set(), revision
    assert revision == schema.HEAD
    assert schema.survey(empty).strangers == {}


def test_the_owner_of_the_tables_is_not_affected(database: str) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        ).fetchall()
    assert rows
    assert [row for row in rows if row[1:] != (True, False)] == []
    assert schema.revision(database) == schema.HEAD


def test_the_serving_role_gets_what_it_needs_and_nothing_else(empty: str, roles: Roles) -> None:
    serving = roles("todo_serving", "LOGIN")
    schema.migrate(empty, serving)
    add_rows(empty)
    everything = {
        f"{action} {table}"
        for table in ("tasks", "task_creations")
        for action in ("read", "update", "delete", "insert")
    }
    assert reached(empty, serving) == {*everything, "read todo_alembic_version"}
    with acting_as(empty, serving) as connection:
        for statement in (
            b"TRUNCATE tasks",
            b"DROP TABLE tasks",
            b"CREATE TABLE mine ()",
            b"SELECT setval('tasks_id_seq', 1)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    assert schema.survey(empty).serving == [serving]
    assert schema.survey(empty).strangers == {}


def test_granting_again_changes_nothing_and_a_second_role_joins_the_first(empty: str, roles: Roles) -> None:
    first, second = roles("first", "LOGIN"), roles("second", "LOGIN")
    schema.migrate(empty, first)
    with psycopg.connect(empty) as connection:
        policies = "SELECT oid FROM pg_policy ORDER BY 1"
        before = connection.execute(policies).fetchall()
        connection.execute("SELECT FROM tasks")
        schema.migrate(empty, first)  # does not wait for the transaction that reads the table
        assert connection.execute(policies).fetchall() == before
    schema.migrate(empty, second)
    add_rows(empty)
    assert schema.survey(empty).serving == [first, second]
    assert reached(empty, first) == reached(empty, second) != set()


def test_every_migration_renews_the_grants_of_the_serving_role(empty: str, roles: Roles) -> None:
    serving = roles("todo_serving", "LOGIN")
    schema.migrate(empty, serving)
    execute(empty, "REVOKE ALL ON task_creations FROM {role}", role=serving)
    command.upgrade(schema.alembic_config(empty), "head")
    add_rows(empty)
    assert "insert task_creations" in reached(empty, serving)


def test_a_role_that_serves_already_is_not_shut_out(empty: str, roles: Roles) -> None:
    """Before row-level security, grants by hand were enough."""
    serving = roles("todo_app", "LOGIN")
    command.upgrade(schema.alembic_config(empty), "0002")
    execute(empty, "GRANT SELECT, INSERT, UPDATE, DELETE ON tasks, task_creations TO {role}", role=serving)
    with pytest.raises(CannotServe, match=f"--serving-role {serving}"):
        schema.migrate(empty)
    assert schema.revision(empty) == "0002"
    schema.migrate(empty, serving)
    add_rows(empty)
    assert "read tasks" in reached(empty, serving)


def test_a_role_without_a_policy_sees_nothing_and_is_told(empty: str, roles: Roles) -> None:
    role = roles("todo_app", "LOGIN")
    schema.migrate(empty)
    execute(empty, "GRANT SELECT ON tasks, todo_alembic_version TO {role}", role=role)
    hidden = make_conninfo(empty, options=f"-c role={role}")
    with pytest.raises(schema.NotPermitted, match="row-level security hides all tasks"):
        schema.revision(hidden)
    schema.migrate(empty, role)
    assert schema.revision(hidden) == schema.HEAD


@pytest.mark.parametrize(
    ("options", "message"), [(None, "There is no role"), ("BYPASSRLS", "bypasses row-level security")]
)
def test_a_role_that_cannot_be_a_serving_role_is_refused(
    empty: str, roles: Roles, options: str | None, message: str
) -> None:
    role = roles("odd", options) if options else "nobody"
    with pytest.raises(CannotServe, match=message):
        schema.migrate(empty, role)
    assert schema.revision(empty) is None, "nothing is migrated either"


@pytest.mark.parametrize(
    ("opened", "privileges"),
    [
        ("GRANT SELECT ON tasks TO {role}; CREATE POLICY mine ON tasks FOR SELECT USING (true)", ["SELECT"]),
        ("GRANT ALL ON tasks TO {role}", ["REFERENCES", "TRIGGER", "TRUNCATE"]),
        ("GRANT UPDATE (title) ON tasks TO {role}; ALTER TABLE tasks DISABLE ROW LEVEL SECURITY", ["UPDATE"]),
        ("GRANT DELETE ON task_creations TO {role}; ALTER ROLE {role} BYPASSRLS", ["DELETE"]),
        ("GRANT INSERT ON tasks TO {role}; CREATE POLICY mine ON tasks TO {role} USING (true)", ["INSERT"]),
        ("GRANT SELECT ON tasks TO {role}", None),
        ("GRANT pg_read_all_data TO {role}", None),
    ],
)
def test_every_other_role_that_reaches_tasks_is_found(
    empty: str, roles: Roles, opened: str, privileges: Sequence[str] | None
) -> None:
    schema.migrate(empty)
    role = roles("stranger")
    execute(empty, opened, role=role)
    assert schema.survey(empty).strangers == ({role: privileges} if privileges else {})
