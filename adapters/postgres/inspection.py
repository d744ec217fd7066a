"""Inspection of a database that other programs may use too: which tables in it are ours, and what is denied to us."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

VERSION_TABLE = "todo_alembic_version"
FORMER_VERSION_TABLE = "alembic_version"
"""Alembic's default, which the first releases used. In a shared database it may be another program's."""

MIGRATIONS = Path(__file__).with_name("migrations")
REVISIONS = sorted(step.name[:4] for step in (MIGRATIONS / "versions").glob("[0-9]*.py"))
"""Numbers of four digits, so a later one compares as larger."""

TABLES = {"tasks": "0001", "task_creations": "0002"}
"""Our tables, each with the revision that creates it."""

_CONSTRAINTS = ["tasks_id_in_range", "tasks_title_not_empty", "tasks_user_id_not_empty"]
"""Of our table of tasks, since its first revision. Another program's table of that name does not have them."""

_ELSEWHERE = "use another database, or another schema (?options=-csearch_path%3DSCHEMA)"


class UnsuitableDatabase(Exception):
    """The database cannot be used. The message is one line: why, and what to do."""


def require_utf8(connection: psycopg.Connection) -> None:
    """Raises UnsuitableDatabase: other encodings cannot store every character that a task may contain."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise UnsuitableDatabase(
            f"its encoding is {encoding}; create one with ENCODING 'UTF8' TEMPLATE template0 instead"
        )


def revision(connection: psycopg.Connection) -> str | None:
    """The revision of our tables; None where `todo migrate` may create them.

    Raises UnsuitableDatabase where a table of that revision is missing, or where something that is not ours has the
    name of a table that would be created.
    """
    found = _tables(connection)
    recorded = _recorded(connection, found)
    for table, since in TABLES.items():
        exists, name_is_taken = found[table]
        if recorded is None or since > recorded:
            if name_is_taken:
                raise UnsuitableDatabase(f"it has a table {table} that `todo migrate` did not create; {_ELSEWHERE}")
        elif not exists or not _is_ours(connection):
            raise UnsuitableDatabase(
                f"{VERSION_TABLE} says revision {recorded}, but the table {table} of that revision is missing; "
                f"restore it from a backup, or {_ELSEWHERE}"
            )
    if recorded is None and not _rows(connection, "SELECT current_schema() WHERE current_schema() IS NOT NULL"):
        raise UnsuitableDatabase("no schema of its search_path exists; create that schema first")
    return recorded


def former_revision(connection: psycopg.Connection) -> str | None:
    """The revision of our tables where only a table of the former name records it; None if it is not about ours."""
    return _former_revision(connection, _tables(connection))


def obstacle_to_writes(connection: psycopg.Connection, privileges: Mapping[str, Sequence[str]]) -> str | None:
    """What the server, the session or the role's privileges (by table) deny to requests, on a migrated database; None
    if nothing."""
    [(standby, read_only, sequence)] = _rows(
        connection,
        "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', "
        "pg_get_serial_sequence('tasks', 'id')",
    )
    if standby:
        return "the server is a standby: writes will fail"
    if read_only:
        return "default_transaction_read_only is on: writes will fail"
    needed = [(table, privilege) for table, of_table in privileges.items() for privilege in of_table]
    query = (
        "SELECT privilege || ' on ' || name FROM unnest(%s::text[], %s::text[]) AS needed (name, privilege) "
        "WHERE NOT has_table_privilege(to_regclass(name), privilege) UNION ALL SELECT 'USAGE on ' || name "
        "FROM (VALUES (%s)) AS sequence (name) WHERE NOT has_sequence_privilege(name, 'USAGE')"
    )
    tables, names = zip(*needed, strict=True)
    missing = [privilege for [privilege] in _rows(connection, query, [*tables], [*names], sequence)]
    return f"the role {connection.info.user} lacks {', '.join(missing)}" if missing else None


def _recorded(connection: psycopg.Connection, found: "Tables") -> str | None:
    exists, _ = found[VERSION_TABLE]
    return _version(connection, VERSION_TABLE) if exists else _former_revision(connection, found)


def _former_revision(connection: psycopg.Connection, found: "Tables") -> str | None:
    (exists, _), (is_replaced, _) = found[FORMER_VERSION_TABLE], found[VERSION_TABLE]
    if is_replaced or not exists or not _is_ours(connection):
        return None
    version = _version(connection, FORMER_VERSION_TABLE)
    return version if version in REVISIONS else None


Tables = Mapping[str, tuple[bool, bool]]
"""By name: whether statements find such a table, and whether a new table could not have that name."""


def _tables(connection: psycopg.Connection) -> Tables:
    rows = _rows(
        connection,
        "SELECT name, to_regclass(name) IS NOT NULL, "
        "to_regclass(quote_ident(current_schema()) || '.' || name) IS NOT NULL FROM unnest(%s::text[]) AS name",
        [*TABLES, VERSION_TABLE, FORMER_VERSION_TABLE],
    )
    return {name: (exists, name_is_taken) for name, exists, name_is_taken in rows}


def _is_ours(connection: psycopg.Connection) -> bool:
    """Whether the table of tasks is the one that our first revision creates."""
    query = "SELECT FROM pg_constraint WHERE conrelid = to_regclass('tasks') AND conname = ANY(%s::text[])"
    return len(_rows(connection, query, _CONSTRAINTS)) == len(_CONSTRAINTS)


def _version(connection: psycopg.Connection, table: str) -> str | None:
    """None unless there is exactly one: ours has no branches."""
    rows = _rows(connection, f"SELECT version_num FROM {table}")
    return rows[0][0] if len(rows) == 1 else None


def _rows(connection: psycopg.Connection, query: str, *parameters: Any) -> Sequence[Any]:
    return connection.execute(query.encode(), parameters or None).fetchall()
