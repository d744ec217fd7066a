"""Grants and policies of the roles that serve: all rows, or the rows of the owners that a statement carries."""

from collections.abc import Sequence

import psycopg
from psycopg import sql

from adapters.postgres.access import POLICY, PRIVILEGES, SERVING, CannotServe, serving_roles
from adapters.postgres.inspection import VERSION_TABLE
from domain.values import IdempotencyKey

_OWN = "user_id = ANY ((SELECT nullif(current_setting('todo.owners', true), '')::varchar[])::varchar[])"
"""Condition of policies by owner; the sub-select is evaluated once, not for each row. Admits nothing where the
statement has not made the setting: it is NULL then, or empty if an earlier transaction of the session has made it."""

_EXPIRED = f"created_at <= now() - interval '{IdempotencyKey.LIFETIME.total_seconds():.0f} seconds'"

_CONDITION = (
    "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polname = %s AND polrelid = to_regclass('tasks')"
)


def is_by_owner(connection: psycopg.Connection) -> bool | None:
    """Whether the current role sees the rows of those owners only that a statement carries; None if row-level security
    does not apply to it."""
    row = connection.execute("SELECT row_security_active('tasks')").fetchone()
    return _is_by_owner(connection) if row and row[0] else None


def admit(connection: psycopg.Connection, role: str | None = None, *, by_owner: bool | None = None) -> None:
    """Gives the serving roles, and this one with them, what serving needs and nothing else: grants, and a policy of
    each table. Repeatable. The current role must own the tables. Raises CannotServe.

    `by_owner`: admits rows of the owners that a statement carries (`sql.OWNERS`), instead of all. None: as it is.
    """
    if role is not None:
        _require_other_role(connection, role)
    roles = sorted({*serving_roles(connection), *([role] if role else [])})
    if not roles:
        return
    if by_owner is None:
        by_owner = _is_by_owner(connection)
    names = sql.SQL(", ").join(map(sql.Identifier, roles))
    for missing in _schema_without_usage(connection, roles):
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(missing), names))
    connection.execute(sql.SQL("GRANT USAGE ON SEQUENCE tasks_id_seq TO {}").format(names))
    unchanged = by_owner == _is_by_owner(connection)
    for table, privileges in PRIVILEGES.items():
        granted = sql.SQL(", ").join(map(sql.SQL, privileges))
        connection.execute(sql.SQL("GRANT {} ON {} TO {}").format(granted, sql.Identifier(table), names))
        if not (unchanged and _admitted(connection, table) == roles):  # it locks the table
            _make_policies(connection, table, names, by_owner=by_owner)


def _make_policies(connection: psycopg.Connection, table: str, roles: sql.Composable, *, by_owner: bool) -> None:
    owned = by_owner and table != VERSION_TABLE
    policies = {POLICY: f"USING ({_OWN if owned else 'true'})"}
    if owned and table == "task_creations":  # everybody removes expired keys
        policies[f"{POLICY}_expired"] = f"USING ({_EXPIRED}) WITH CHECK (false)"
    for name in (POLICY, f"{POLICY}_expired"):
        drop = sql.SQL("DROP POLICY IF EXISTS {} ON {}")
        connection.execute(drop.format(sql.Identifier(name), sql.Identifier(table)))
    for name, condition in policies.items():
        create = sql.SQL("CREATE POLICY {} ON {} TO {} {}")
        composed = create.format(sql.Identifier(name), sql.Identifier(table), roles, sql.SQL(condition))
        connection.execute(composed)


def _is_by_owner(connection: psycopg.Connection) -> bool:
    row = connection.execute(_CONDITION, [POLICY]).fetchone()
    return bool(row and "todo.owners" in row[0])


def _admitted(connection: psycopg.Connection, table: str) -> Sequence[str]:
    query = f"{SERVING} AND polrelid = to_regclass(%s) ORDER BY 1".encode()
    return [role for [role] in connection.execute(query, [POLICY, table])]


def _schema_without_usage(connection: psycopg.Connection, roles: Sequence[str]) -> Sequence[str]:
    query = """
        SELECT nspname FROM pg_namespace JOIN pg_class ON relnamespace = pg_namespace.oid
        WHERE pg_class.oid = to_regclass('tasks')
            AND EXISTS (SELECT FROM unnest(%s::text[]) AS role WHERE NOT has_schema_privilege(role, nspname, 'USAGE'))
    """
    return [schema for [schema] in connection.execute(query, [[*roles]])]


def _require_other_role(connection: psycopg.Connection, role: str) -> None:
    found = connection.execute(
        "SELECT rolsuper OR rolbypassrls, pg_roles.oid = relowner "
        "FROM pg_roles, pg_class WHERE rolname = %s AND pg_class.oid = to_regclass('tasks')",
        [role],
    ).fetchone()
    if found is None:
        raise CannotServe(f"There is no role {role}: create it first, with CREATE ROLE {role} LOGIN PASSWORD '...'.")
    unrestricted, owner = found
    if owner:
        raise CannotServe(f"{role} owns the tables: it can serve without any grant.")
    if unrestricted:
        raise CannotServe(f"{role} bypasses row-level security: name a role that does not.")
