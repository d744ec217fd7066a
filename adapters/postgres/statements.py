"""SQL of the repository. Each statement serves a batch of calls of any owners, or a single call."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from adapters.postgres.sql import CALLS, OWNERS, Statement, in_shard
from domain.listing import Sort
from domain.task import Task
from domain.values import IdempotencyKey

FIELDS = {"title": "varchar", "description": "varchar", "completed": "boolean"}
"""Fields of a draft, all of which may change later."""

EXTRAS = "extras"
"""A field of a draft too, but only in the statements that `with_extras` returns."""

_FIELDS = ", ".join(FIELDS)
_LAST = [*FIELDS][-1]
_TASK = ", ".join(f"tasks.{field}" for field in Task._fields if field != EXTRAS)
_ASSIGNMENTS = ", ".join(f"{field} = expected.{field}" for field in FIELDS)
_STORED = ", ".join(f"tasks.{field}" for field in ("created_at", *FIELDS))
_EXPECTED = ", ".join(f"call.expected_{field}" for field in ("created_at", *FIELDS))

GET = Statement(
    "get",
    f"""
    SELECT call.n, {_TASK}
    FROM {CALLS} JOIN tasks ON (tasks.user_id, tasks.id) = (call.owner, call.id) {in_shard("tasks")}
    WHERE {OWNERS}
    """,
    {"owner": "varchar", "id": "bigint"},
    repeatable=True,
)

ADD = Statement(
    "add",
    f"""
    WITH new AS (
        SELECT nextval('tasks_id_seq') AS new_id, call.* FROM {CALLS}
    ), stored AS (
        INSERT INTO tasks (user_id, id, {_FIELDS}, created_at, updated_at) OVERRIDING SYSTEM VALUE
        SELECT owner, new_id, {_FIELDS}, at, at FROM new
    )
    SELECT n, new_id FROM new WHERE {OWNERS}
    """,
    {"owner": "varchar", "at": "timestamptz", **FIELDS},
)

COUNT = Statement(
    "count",
    f"""
    SELECT call.n, (
        SELECT count(*) FROM (
            SELECT FROM tasks WHERE tasks.user_id = call.owner {in_shard("tasks")} LIMIT call.most
        ) AS counted
    )
    FROM {CALLS} WHERE {OWNERS}
    """,
    {"owner": "varchar", "most": "bigint"},
    repeatable=True,
)
"""How many tasks the owner has, up to `most`. Reads the index, so its price grows with `most`."""

LIFETIME = f"interval '{IdempotencyKey.LIFETIME.total_seconds():.0f} seconds'"

ADD_ONCE = Statement(
    "add_once",
    f"""
    WITH call AS (
        SELECT DISTINCT ON (owner, key) * FROM {CALLS} ORDER BY owner, key, n
    ), fresh AS (
        INSERT INTO task_creations AS known (user_id, key, digest, task_id, created_at)
        SELECT owner, key, digest, nextval('tasks_id_seq'), at FROM call ORDER BY owner, key
        ON CONFLICT (user_id, key) DO UPDATE
            SET digest = excluded.digest, task_id = excluded.task_id, created_at = excluded.created_at
            WHERE known.created_at <= excluded.created_at - {LIFETIME}
        RETURNING user_id, key, task_id
    ), stored AS (
        INSERT INTO tasks (user_id, id, {_FIELDS}, created_at, updated_at) OVERRIDING SYSTEM VALUE
        SELECT owner, task_id, {_FIELDS}, at, at
        FROM fresh JOIN call ON (fresh.user_id, fresh.key) = (call.owner, call.key)
    ), expired AS (
        DELETE FROM task_creations WHERE (user_id, key) IN (
            SELECT user_id, key FROM task_creations AS old
            WHERE created_at <= (SELECT min(at) FROM call) - {LIFETIME}
                AND NOT EXISTS (SELECT FROM call WHERE (call.owner, call.key) = (old.user_id, old.key))
            ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED
        )
    )
    SELECT n, task_id FROM fresh JOIN call ON (fresh.user_id, fresh.key) = (call.owner, call.key)
    WHERE {OWNERS}
    """,
    {"owner": "varchar", "key": "varchar", "digest": "varchar", "at": "timestamptz", **FIELDS},
    repeatable=True,
)
"""Returns a row to the first call with a new or expired key. Waits for concurrent transactions that store the
same key. Each execution also deletes some expired keys."""

RECALL = Statement(
    "recall",
    f"""
    SELECT call.n, known.digest, known.task_id, known.created_at
    FROM {CALLS} JOIN task_creations AS known ON (known.user_id, known.key) = (call.owner, call.key) {in_shard("known")}
    WHERE {OWNERS}
    """,
    {"owner": "varchar", "key": "varchar"},
    repeatable=True,
)


OWNER_SHARE = 2  # pages; 200 tasks may be 4 MB, which are in memory several times while they are read

_PAGE = _TASK.replace("tasks.", "page.")


def _list(sort: Sort, *, descending: bool, searching: bool, ids: bool) -> Statement:
    direction, beyond, back = ("DESC", "<", "ASC") if descending else ("ASC", ">", "DESC")
    search = "AND (tasks.title ~ call.search OR tasks.description ~ call.search)" if searching else ""
    key = {Sort.CREATED: "", Sort.UPDATED: "updated_at", Sort.TITLE: 'title COLLATE "C"'}[sort]
    if sort is Sort.CREATED:  # in a form that the index can serve
        after = f"tasks.id {beyond} coalesce(call.after_id, {2**63 - 1 if descending else 0})"
    else:
        after = f"(call.after_id IS NULL OR (tasks.{key}, tasks.id) {beyond} (call.after_value, call.after_id))"

    def order(table: str, direction: str = direction) -> str:
        return f"{table}.{key} {direction}, {table}.id {direction}" if key else f"{table}.id {direction}"

    page = f"""(
        SELECT * FROM tasks
        WHERE tasks.user_id = call.owner AND (call.completed IS NULL OR tasks.completed = call.completed)
            {search} AND {after} {in_shard("tasks")}
        ORDER BY tasks.user_id {direction}, {order("tasks")} LIMIT call.size
    ) AS page"""
    last = f"(array_agg(page.{key.split()[0]} ORDER BY {order('page', back)}))[1]" if key else "NULL"
    tasks = f"""
    SELECT call.n, {_PAGE} FROM {CALLS} CROSS JOIN LATERAL {page}
    WHERE {OWNERS}
    ORDER BY call.n, {order("page")}
    """
    part = f"""
    SELECT call.n, part.ids, part.last
    FROM {CALLS} CROSS JOIN LATERAL (
        SELECT array_agg(page.id ORDER BY {order("page")}) AS ids, {last} AS last FROM {page}
    ) AS part
    WHERE {OWNERS} AND part.ids IS NOT NULL
    """
    parameters = {
        "owner": "varchar",
        "completed": "boolean",
        "search": "varchar",
        "after_value": "timestamptz" if sort is Sort.UPDATED else "varchar",
        "after_id": "bigint",
        "size": "bigint",
    }
    if ids:
        return Statement("scan", part, parameters, batch_size=1, scans=True, repeatable=True)
    if sort is Sort.CREATED and not searching:
        name = "page_created" + ("_desc" if descending else "")
        return Statement(name, tasks, parameters, batch_size=16, owner_share=OWNER_SHARE, repeatable=True)
    return Statement("scan", tasks, parameters, batch_size=1 if searching else 4, scans=True, repeatable=True)


def _lists(*, ids: bool) -> Mapping[tuple[Sort, bool, bool], Statement]:
    return {
        (sort, descending, searching): _list(sort, descending=descending, searching=searching, ids=ids)
        for sort in Sort
        for descending in (False, True)
        for searching in (False, True)
    }


PAGES = _lists(ids=False)
"""Keyset pagination, by sort order, whether descending, and whether searching.

An optional search in one statement would make PostgreSQL expect so few rows that it sorts instead of following the
index. Only the order of creation has an index; the other orders and searches read all tasks of the owner. They share
one queue, and fewer of them share an execution."""

IDS = _lists(ids=True)
"""The same, but returns the ids of all tasks of a page in one row, and the value by which the last one is sorted."""

BY_IDS = Statement(
    "by_ids",
    f"""
    SELECT call.n, {_TASK}
    FROM {CALLS} CROSS JOIN LATERAL unnest(call.ids::bigint[]) WITH ORDINALITY AS wanted (id, place)
        JOIN tasks ON (tasks.user_id, tasks.id) = (call.owner, wanted.id) {in_shard("tasks")}
    WHERE {OWNERS}
    ORDER BY call.n, wanted.place
    """,
    {"owner": "varchar", "ids": "varchar"},
    batch_size=16,
    owner_share=OWNER_SHARE,
    repeatable=True,
)
"""The tasks with these ids, an array literal, in its order."""

# Writers skip rows that another transaction has locked, so one locked task delays no other call of the batch.
SAVE = Statement(
    "save",
    f"""
    WITH expected AS (
        SELECT call.* FROM {CALLS} JOIN tasks ON (tasks.user_id, tasks.id) = (call.owner, call.id)
        WHERE tasks.updated_at = call.version AND ({_STORED}) IS NOT DISTINCT FROM ({_EXPECTED}) {in_shard("tasks")}
        FOR UPDATE OF tasks SKIP LOCKED
    )
    UPDATE tasks SET updated_at = expected.updated_at, {_ASSIGNMENTS}
    FROM expected
    WHERE {OWNERS} AND (tasks.user_id, tasks.id, tasks.updated_at) = (expected.owner, expected.id, expected.version)
        {in_shard("tasks")}
    RETURNING expected.n
    """,
    {
        "owner": "varchar",
        "id": "bigint",
        "version": "timestamptz",
        "expected_created_at": "timestamptz",
        **{f"expected_{field}": type_ for field, type_ in FIELDS.items()},
        "updated_at": "timestamptz",
        **FIELDS,
    },
)
"""Compare-and-set: returns a row if the task was exactly as expected, and is changed. The version alone would not do:
after a restore, or where somebody wrote without the API, two states can share one."""

SAVE_AGAIN = replace(SAVE, name="save_again", repeatable=True)
"""For the same change of the same state, after an unknown outcome."""

REMOVE = Statement(
    "remove",
    f"""
    WITH expected AS (
        SELECT call.* FROM {CALLS} JOIN tasks ON (tasks.user_id, tasks.id) = (call.owner, call.id)
        WHERE tasks.updated_at = coalesce(call.version, tasks.updated_at) {in_shard("tasks")}
        FOR UPDATE OF tasks SKIP LOCKED
    )
    DELETE FROM tasks USING expected WHERE {OWNERS} AND (tasks.user_id, tasks.id) = (expected.owner, expected.id)
        {in_shard("tasks")}
    RETURNING expected.n
    """,
    {"owner": "varchar", "id": "bigint", "version": "timestamptz"},
)
"""Returns a row to one of the calls that remove the same task."""

REMOVE_OLDEST = Statement(
    "remove_oldest",
    f"""
    WITH oldest AS (
        SELECT call.n, page.user_id, page.id
        FROM {CALLS} CROSS JOIN LATERAL (
            SELECT tasks.user_id, tasks.id FROM tasks WHERE tasks.user_id = call.owner AND tasks.id <= call.up_to
                {in_shard("tasks")}
            ORDER BY tasks.user_id, tasks.id LIMIT call.size FOR UPDATE SKIP LOCKED
        ) AS page
    )
    DELETE FROM tasks USING oldest WHERE {OWNERS} AND (tasks.user_id, tasks.id) = (oldest.user_id, oldest.id)
        {in_shard("tasks")}
    RETURNING oldest.n
    """,
    {"owner": "varchar", "up_to": "bigint", "size": "bigint"},
    batch_size=1,
    in_flight=2,
    repeatable=True,
)
"""Returns a row for each task that it removed. Repeated, it removes the next ones."""

REMOVE_ALL = Statement(
    "remove_all",
    f"""
    WITH call AS (
        SELECT * FROM {CALLS}
    ), expected AS (
        SELECT call.n, call.owner, (version ->> 0)::bigint AS id, (version ->> 1)::timestamptz AS updated_at
        FROM call CROSS JOIN LATERAL jsonb_array_elements(call.versions::jsonb) AS version
    ), found AS (
        SELECT tasks.id FROM expected JOIN tasks ON (tasks.user_id, tasks.id) = (expected.owner, expected.id)
        WHERE tasks.updated_at = expected.updated_at {in_shard("tasks")}
        FOR UPDATE OF tasks SKIP LOCKED
    ), counts AS (
        SELECT (SELECT count(*) FROM expected) AS expected, (SELECT count(*) FROM found) AS found,
            (SELECT count(*) FROM call JOIN tasks ON tasks.user_id = call.owner {in_shard("tasks")}) AS stored
    )
    DELETE FROM tasks USING expected, counts
    WHERE {OWNERS} AND (tasks.user_id, tasks.id) = (expected.owner, expected.id)
        AND counts.found = counts.expected AND counts.stored = counts.expected {in_shard("tasks")}
    RETURNING expected.n
    """,
    {"owner": "varchar", "versions": "varchar"},
    batch_size=1,
    in_flight=2,
)
"""Removes all tasks of the owner and returns a row for each, or none if they are not exactly those of `versions`: JSON,
an array of ids and versions."""

SETTLE = Statement(
    "settle",
    f"SELECT n, pg_logical_emit_message(true, 'todo', '') FROM {CALLS}",
    {"owner": "varchar"},
    repeatable=True,
)
"""Returns once everything committed before is as durable as the server makes it, on synchronous standbys too: an empty
message in the write-ahead log, which nobody reads, is committed after it."""

STATEMENTS = (
    GET,
    COUNT,
    ADD,
    ADD_ONCE,
    RECALL,
    *PAGES.values(),
    *IDS.values(),
    BY_IDS,
    SAVE,
    SAVE_AGAIN,
    REMOVE,
    REMOVE_OLDEST,
    REMOVE_ALL,
    SETTLE,
)


@cache
def with_extras(statement: Statement) -> Statement:
    """The statement with the field `extras` wherever it has the others; each row of a task ends with it."""
    sql = statement.sql
    for fields, extended in (
        (_TASK, f"{_TASK}, tasks.{EXTRAS}::varchar"),
        (_PAGE, f"{_PAGE}, page.{EXTRAS}::varchar"),
        (_FIELDS, f"{_FIELDS}, {EXTRAS}"),
        (_ASSIGNMENTS, f"{_ASSIGNMENTS}, {EXTRAS} = expected.{EXTRAS}"),
        (_STORED, f"{_STORED}, tasks.{EXTRAS}"),
        (_EXPECTED, f"{_EXPECTED}, call.expected_{EXTRAS}"),
    ):
        sql = sql.replace(fields, extended)
    parameters = {}
    for name, type_ in statement.parameters.items():
        parameters[name] = type_
        if name.endswith(_LAST) and FIELDS.keys() <= statement.parameters.keys():
            parameters[name.replace(_LAST, EXTRAS)] = "jsonb"
    return replace(statement, sql=sql, parameters=parameters)
