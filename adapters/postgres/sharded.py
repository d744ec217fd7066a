"""SQL for a database with shards (Citus): for a batch of calls whose owners are in one shard, and touching no other.

Most statements only have to name the owners (`in_shard`). Those that insert call a function on the shard's node: Citus
would commit an INSERT .. SELECT in two phases, and acknowledge a task that cannot be read if a node fails in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from adapters.postgres.sql import CALLS, Statement, in_shard
from adapters.postgres.statements import ADD, ADD_ONCE, EXTRAS, FIELDS, LIFETIME, SETTLE, with_extras

MISPLACED = "0A000"
"""SQLSTATE of statements that would need several shards (feature not supported). Nothing was executed."""

REFUSALS = {MISPLACED, "2200H"}
"""What a database whose tables have been distributed says to the statements for one where they are not; the latter is
that the sequence of IDs is used up."""

IS_SHARDED = b"SELECT EXISTS (SELECT FROM pg_proc WHERE proname = 'todo_add')"

_FIELDS, _VALUES = "{fields}", "call.owner, last_id + call.n, {values}, call.at, call.at"

_BEGIN = f"""
    SELECT get_shard_id_for_distribution_column('tasks', owner) INTO shard;
    IF shard <> ANY (SELECT get_shard_id_for_distribution_column('tasks', of) FROM unnest(owners) AS of)
        OR NOT EXISTS (SELECT FROM pg_dist_placement JOIN pg_dist_local_group USING (groupid) WHERE shardid = shard)
    THEN
        RAISE EXCEPTION 'not on the node of the one shard of all owners' USING ERRCODE = '{MISPLACED}';
    END IF;
    SELECT greatest(max(tasks.id), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) INTO last_id
    FROM tasks WHERE tasks.user_id = ANY (owners);
"""
"""IDs are microseconds since 1970 by the clock of the shard's node, and larger than those of the owners' tasks: so they
rise for each owner, whichever node the calls go through, also after the shard has moved. They fit until 2255.

Elsewhere than on the shard's node the commit could have two phases. There it has one, as long as each statement has one
INSERT: Citus carries them out within the session."""

_ADD = f"""
DECLARE
    shard bigint;
    last_id bigint;
BEGIN
    {_BEGIN}
    INSERT INTO tasks (user_id, id, {_FIELDS}, created_at, updated_at) OVERRIDING SYSTEM VALUE
    SELECT {_VALUES} FROM {CALLS};
    RETURN QUERY SELECT call.n, last_id + call.n FROM generate_series(1, cardinality(owners)::bigint) AS call (n);
EXCEPTION WHEN internal_error THEN
    RAISE EXCEPTION 'the shard was split' USING ERRCODE = '{MISPLACED}';
END
"""
"""An error within the function has rolled it back, so the call can be sent again."""

_ADD_ONCE = f"""
DECLARE
    shard bigint;
    last_id bigint;
    call record;
    before timestamptz;
    losing varchar[];
BEGIN
    {_BEGIN}
    FOR call IN SELECT DISTINCT ON (owner, key) *, at - {LIFETIME} AS expired FROM {CALLS} ORDER BY owner, key, n LOOP
        INSERT INTO task_creations AS known (user_id, key, digest, task_id, created_at)
        VALUES (call.owner, call.key, call.digest, last_id + call.n, call.at)
        ON CONFLICT (user_id, key) DO UPDATE
            SET digest = excluded.digest, task_id = excluded.task_id, created_at = excluded.created_at
            WHERE known.created_at <= call.expired;
        CONTINUE WHEN NOT FOUND;
        INSERT INTO tasks (user_id, id, {_FIELDS}, created_at, updated_at) OVERRIDING SYSTEM VALUE VALUES ({_VALUES});
        RETURN QUERY SELECT call.n, last_id + call.n;
    END LOOP;
    SELECT min(at) - {LIFETIME} INTO before FROM {CALLS};
    EXECUTE format(
        'SELECT array_agg(user_id) FROM ('
            'SELECT user_id FROM %s WHERE created_at <= $1 ORDER BY created_at LIMIT 100'
        ') AS old',
        shard_name('task_creations', get_shard_id_for_distribution_column('task_creations', owners[1]))
    ) INTO losing USING before;
    IF losing IS NOT NULL THEN
        DELETE FROM task_creations WHERE user_id = ANY (losing) AND (user_id, key) IN (
            SELECT user_id, key FROM task_creations WHERE user_id = ANY (losing) AND created_at <= before
            ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED
        );
    END IF;
END
"""
"""The owners of expired keys are read from the shard itself: no condition can name a shard."""

_SETTLE = replace(
    SETTLE,
    sql=f"""
    WITH nothing AS (SELECT FROM tasks WHERE tasks.id = 0 {in_shard("tasks")} FOR UPDATE)
    {SETTLE.sql} WHERE NOT EXISTS (SELECT FROM nothing)
    """,
)
"""What touches no table would be executed on the node that the calls go through, and without the lock several shards
would be read without complaint: no task has this ID."""

_BODIES = {ADD.name: ("todo_add", _ADD), ADD_ONCE.name: ("todo_add_once", _ADD_ONCE)}
_INSERTING = (ADD, ADD_ONCE, with_extras(ADD), with_extras(ADD_ONCE))


def functions() -> Mapping[str, str]:
    """By signature, the DDL of each function. Its argument `owner` decides on which shard's node it runs."""
    return {f"{_BODIES[each.name][0]}({', '.join(_types(each))})": _ddl(each) for each in _INSERTING}


@cache
def query(statement: Statement) -> bytes:
    if statement.name in _BODIES:
        name, _ = _BODIES[statement.name]
        owner = f"${len(statement.parameters) + 1}::varchar"
        return f"SELECT n, task_id FROM {name}({', '.join([owner, *statement.arguments])})".encode()
    if statement.name == SETTLE.name:
        return _SETTLE.query_of_shard
    return statement.query_of_shard


def values(statement: Statement, calls: Sequence[Sequence[object]]) -> list[str]:
    arrays = statement.arrays(calls)
    return [*arrays, str(calls[0][0])] if statement.name in _BODIES else arrays


def _types(statement: Statement) -> list[str]:
    return ["varchar", *(f"{type_}[]" for type_ in statement.parameters.values())]


def _ddl(statement: Statement) -> str:
    name, body = _BODIES[statement.name]
    fields = [field for field in statement.parameters if field in {*FIELDS, EXTRAS}]
    body = body.replace("{fields}", ", ".join(fields)).replace("{values}", ", ".join(f"call.{each}" for each in fields))
    owner, owners, *others = _types(statement)
    arrays = ", ".join(["owners", *(f"${number}" for number in range(3, 3 + len(others)))])
    called = f"unnest({arrays}) WITH ORDINALITY AS call ({', '.join([*statement.parameters, 'n'])})"
    return f"""
CREATE OR REPLACE FUNCTION {name}({", ".join([f"owner {owner}", f"owners {owners}", *others])})
RETURNS TABLE (n bigint, task_id bigint) LANGUAGE plpgsql AS $function$
#variable_conflict use_column
{body.replace(CALLS, called)}
$function$
"""
