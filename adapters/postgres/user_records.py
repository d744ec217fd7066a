"""Records of users in PostgreSQL. Batches of one call each, in a transaction of its own."""

import re

from psycopg import sql

from adapters.postgres.database import Database
from adapters.postgres.failures import StatementRefused
from adapters.postgres.sharded import MISPLACED
from adapters.postgres.sql import CALLS, OWNERS, Statement, in_shard
from adapters.postgres.timeouts import Timeouts
from application.user_records import Count, NoSuchTable, UsedKey, UserRecords
from domain.values import UserId

OPERATOR_TIMEOUTS = Timeouts(call=3600, attempt=3600)
"""For an operator who waits: comparing all users with a table may take minutes."""

COUNT = Statement(
    "count_records",
    f"""
    SELECT n, (SELECT count(*) FROM tasks WHERE tasks.user_id = call.owner {in_shard("tasks")}),
        (
            SELECT count(*) FROM task_creations
            WHERE task_creations.user_id = call.owner {in_shard("task_creations")}
        )
    FROM {CALLS} WHERE {OWNERS}
    """,
    {"owner": "varchar"},
    repeatable=True,
)

KEYS = Statement(
    "keys",
    f"""
    SELECT call.n, known.key, known.task_id, known.created_at
    FROM {CALLS} JOIN task_creations AS known ON known.user_id = call.owner {in_shard("known")}
    WHERE {OWNERS} ORDER BY known.key
    """,
    {"owner": "varchar"},
    batch_size=1,
    repeatable=True,
)

ERASE_SOME = Statement(
    "erase_some",
    f"""
    WITH call AS (
        SELECT * FROM {CALLS}
    ), some_tasks AS (
        SELECT stored.user_id, stored.id FROM call CROSS JOIN LATERAL (
            SELECT user_id, id FROM tasks WHERE tasks.user_id = call.owner {in_shard("tasks")}
            ORDER BY user_id, id LIMIT call.size
        ) AS stored
    ), erased_tasks AS (
        DELETE FROM tasks USING some_tasks WHERE (tasks.user_id, tasks.id) = (some_tasks.user_id, some_tasks.id)
            {in_shard("tasks")}
        RETURNING 1
    ), some_keys AS (
        SELECT stored.user_id, stored.key FROM call CROSS JOIN LATERAL (
            SELECT user_id, key FROM task_creations AS known WHERE known.user_id = call.owner
            {in_shard("known")} ORDER BY user_id, key LIMIT call.size
        ) AS stored
    ), erased_keys AS (
        DELETE FROM task_creations AS known USING some_keys
        WHERE (known.user_id, known.key) = (some_keys.user_id, some_keys.key) {in_shard("known")}
        RETURNING 1
    )
    SELECT n, (SELECT count(*) FROM erased_tasks), (SELECT count(*) FROM erased_keys) FROM call WHERE {OWNERS}
    """,
    {"owner": "varchar", "size": "bigint"},
    batch_size=1,
    repeatable=True,
)

_FIND = Statement(
    "find",
    f"""
    SELECT call.n, to_regclass(call.name)::text, EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = to_regclass(call.name) AND attname = call.field AND attnum > 0 AND NOT attisdropped
    ) FROM {CALLS}
    """,
    {"name": "text", "field": "text"},
    repeatable=True,
)


_NAME = re.compile(r"""("[^"]+"|\w+)(\.("[^"]+"|\w+)){0,1}""")


class PostgresUserRecords(UserRecords):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, user: UserId) -> Count:
        [row] = await self._database.ask(COUNT, user, deadline=self._database.deadline())
        return Count(*row)

    async def keys(self, user: UserId) -> list[UsedKey]:
        return [UsedKey(*row) for row in await self._database.ask(KEYS, user, deadline=self._database.deadline())]

    async def erase_some(self, user: UserId, limit: int) -> Count:
        [row] = await self._database.ask(ERASE_SOME, user, limit, deadline=self._database.deadline())
        return Count(*row)

    async def absent_from(self, table: str) -> tuple[int, list[str]]:
        found, column = await self._find(table)
        statement = _absent_from(found, column)
        try:
            [[total, absent]] = await self._database.ask(statement, "", deadline=self._database.deadline())
        except StatementRefused as refusal:
            if refusal.sqlstate != MISPLACED:
                raise
            raise NoSuchTable(
                f"Users cannot be compared with {table} where tasks are distributed by Citus: erase them one by one."
            ) from None
        return total, absent or []

    async def _find(self, table: str) -> tuple[str, str]:
        """The table as SQL, and its column."""
        qualified, _, last = table.rpartition(".")
        for name, column in ((table, "id"), (qualified, last.strip('"'))):
            if not _NAME.fullmatch(name):
                continue
            [[found, has_column]] = await self._database.ask(_FIND, name, column, deadline=self._database.deadline())
            if has_column:
                return found, column
            if found:
                raise NoSuchTable(f"The table {name} has no column {column}: name another one, like {name}.user_id.")
        raise NoSuchTable(f"There is no table {table} that this role may see.")


def _users(table: str) -> str:
    """All users of a table whose key begins with the user, by one look into its index for each user."""
    return f"""
    (SELECT min(user_id) AS user_id FROM {table})
    UNION ALL
    SELECT (SELECT min(user_id) FROM {table} AS later WHERE later.user_id > known.user_id)
    FROM {table}_users AS known WHERE known.user_id IS NOT NULL
    """


def _absent_from(table: str, column: str) -> Statement:
    """`table` is quoted already. The ids of other identity providers' users contain U+001F."""
    quoted = sql.Identifier(column).as_string(None)
    text = f"""
    WITH RECURSIVE tasks_users AS ({_users("tasks")}), task_creations_users AS ({_users("task_creations")}), users AS (
        SELECT user_id FROM tasks_users UNION SELECT user_id FROM task_creations_users
    )
    SELECT call.n, count(*), array_agg(user_id ORDER BY user_id) FILTER (
        WHERE NOT EXISTS (SELECT FROM {table} AS present WHERE present.{quoted}::text = users.user_id)
    )
    FROM {CALLS} JOIN users ON users.user_id IS NOT NULL AND position('{UserId.SEPARATOR}' IN users.user_id) = 0
    GROUP BY call.n
    UNION ALL SELECT 1, 0, NULL
    ORDER BY 2 DESC LIMIT 1
    """
    return Statement("absent", text, {"unused": "text"}, batch_size=1, repeatable=True)
