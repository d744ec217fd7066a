"""Which roles reach our tables: the owner's, those that serve, and any other that should not.

Row-level security is enabled on every table and forced on none (migration 0003): the owner's role is not affected, and
any other sees rows only by a policy. Neon's Data API, Supabase and default privileges grant whole schemas to strangers.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg

from adapters.postgres.inspection import VERSION_TABLE

CLOSED_AT = "0003"
"""The revision from which on row-level security is enabled."""

PRIVILEGES: Mapping[str, Sequence[str]] = {
    "tasks": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "task_creations": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    VERSION_TABLE: ("SELECT",),
}
"""What a serving role may do with each table."""

POLICY = "todo_serving"
"""Name of each table's policy for the serving roles."""

SERVING = "SELECT DISTINCT rolname FROM pg_policy JOIN pg_roles ON pg_roles.oid = ANY (polroles) WHERE polname = %s"

_REACHING = """
SELECT rolname, privilege, relname, administrator
FROM pg_class
CROSS JOIN pg_roles
CROSS JOIN unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS privilege
CROSS JOIN LATERAL (
    SELECT rolsuper OR pg_has_role(pg_roles.oid, relowner, 'MEMBER') OR rolbypassrls AND (
        pg_has_role(pg_roles.oid, 'pg_read_all_data', 'MEMBER')
        OR pg_has_role(pg_roles.oid, 'pg_write_all_data', 'MEMBER')
    ) AS administrator
) AS kind
WHERE pg_class.oid = ANY (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)
    AND rolname !~ '^pg_' AND rolname <> current_user AND pg_roles.oid <> relowner
    AND CASE WHEN privilege IN ('DELETE', 'TRUNCATE', 'TRIGGER')
        THEN has_table_privilege(pg_roles.oid, pg_class.oid, privilege)
        ELSE has_any_column_privilege(pg_roles.oid, pg_class.oid, privilege) END
    AND (
        NOT relrowsecurity OR rolbypassrls OR administrator
        OR privilege IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')
        OR EXISTS (
            SELECT FROM pg_policy CROSS JOIN unnest(polroles) AS role
            WHERE polrelid = pg_class.oid AND polpermissive AND (role = 0 OR pg_has_role(pg_roles.oid, role, 'MEMBER'))
                AND polcmd IN ('*', translate(left(privilege, 1), 'SIUD', 'rawd')::"char")
        )
    )
ORDER BY rolname
"""
"""Roles that reach rows: by a policy, or around row-level security, which does not cover three of the privileges."""

_HIDDEN = """
SELECT row_security_active(pg_class.oid) AND NOT EXISTS (
    SELECT FROM pg_policy CROSS JOIN unnest(polroles) AS role
    WHERE polrelid = pg_class.oid AND (role = 0 OR pg_has_role(role, 'MEMBER'))
)
FROM pg_class WHERE oid = to_regclass('tasks')
"""

_SHUT_OUT = """
SELECT rolname FROM pg_roles JOIN pg_class ON pg_class.oid = to_regclass('tasks')
WHERE rolcanlogin AND NOT rolsuper AND NOT rolbypassrls AND NOT pg_has_role(pg_roles.oid, relowner, 'USAGE')
    AND NOT pg_has_role(pg_roles.oid, 'pg_read_all_data', 'MEMBER')
    AND has_table_privilege(pg_roles.oid, pg_class.oid, 'SELECT')
    AND NOT EXISTS (
        SELECT FROM pg_roles AS serving
        WHERE serving.rolname = %s AND pg_has_role(pg_roles.oid, serving.oid, 'MEMBER')
    )
ORDER BY rolname
"""


class CannotServe(Exception):
    """The role cannot be made a serving role, or others would lose access; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Access:
    """Roles that reach rows of our tables, other than the owner's and the current one."""

    serving: Sequence[str]
    administrators: Sequence[str]
    """By powers over the whole server, or membership in the owner's role."""
    strangers: Mapping[str, Sequence[str]]
    """All others, with their privileges."""


def survey(connection: psycopg.Connection) -> Access:
    serving = serving_roles(connection)
    administrators: set[str] = set()
    strangers: defaultdict[str, set[str]] = defaultdict(set)
    for role, privilege, table, administrator in connection.execute(_REACHING, [[*PRIVILEGES]]):
        if administrator:
            administrators.add(role)
        elif role not in serving or privilege not in PRIVILEGES[table]:
            strangers[role].add(privilege)
    return Access(serving, sorted(administrators), {role: sorted(found) for role, found in strangers.items()})


def is_hidden(connection: psycopg.Connection) -> bool:
    """Whether row-level security hides every task from the current role."""
    row = connection.execute(_HIDDEN).fetchone()
    return bool(row and row[0])


def refuse_to_shut_out(connection: psycopg.Connection, serving: str | None) -> None:
    """Before row-level security is enabled: raises CannotServe if a role that can log in reads tasks now, by a grant,
    and would then see none."""
    roles = [role for [role] in connection.execute(_SHUT_OUT, [serving])]
    if roles:
        raise CannotServe(
            f"Row-level security will hide all tasks from {', '.join(roles)}. If it is the role that serves, run "
            f"`todo migrate --serving-role {roles[0]}`; otherwise revoke its privileges on tasks first."
        )


def serving_roles(connection: psycopg.Connection) -> Sequence[str]:
    """The roles that have our policy."""
    return [role for [role] in connection.execute(f"{SERVING} ORDER BY 1".encode(), [POLICY])]
