"""Every migration only adds: the code of the revision before serves on the schema after it, so a release can be rolled
back without a downgrade. `tests/deploy/test_rollback.py` runs such code."""

from collections.abc import Iterator

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory

from adapters.postgres import schema
from tests.databases import fresh_database

Schema = dict[str, dict[tuple[str, str], tuple[object, ...]]]

QUERIES = {
    "column": "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default, "
    "identity_generation FROM information_schema.columns WHERE table_schema = 'public'",
    "constraint": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace AND contype <> 'n'",
    "index": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "row security": "SELECT relname, '', relrowsecurity FROM pg_class WHERE relnamespace = 'public'::regnamespace "
    "AND relkind = 'r' AND NOT relforcerowsecurity",
}


@pytest.fixture
def empty(server: str, worker_id: str) -> Iterator[str]:
    with fresh_database(server, f"todo_additive_{worker_id}") as conninfo:
        yield conninfo


def read(conninfo: str) -> Schema:
    with psycopg.connect(conninfo) as connection:
        return {
            kind: {(table, name): tuple(rest) for table, name, *rest in connection.execute(query.encode())}
            for kind, query in QUERIES.items()
        }


def breaks(before: Schema, after: Schema) -> set[str]:
    """What the code that knows `before` may not survive in `after`.

    Row-level security that is not forced does not concern the owner's role; `test_row_level_security.py` tests others.
    """
    found = {
        f"{kind} {'.'.join(name)}"
        for kind, items in before.items()
        for name, definition in items.items()
        if (name not in after[kind] if kind == "row security" else after[kind].get(name) != definition)
    }
    tables = {table for table, _ in before["column"]}
    for (table, name), (_, _, nullable, default, identity) in after["column"].items():
        old_code_leaves_it_out = table in tables and (table, name) not in before["column"]
        if old_code_leaves_it_out and nullable == "NO" and default is None and identity is None:
            found.add(f"column {table}.{name}")
    new_constraints = after["constraint"].keys() - before["constraint"].keys()
    return found | {f"constraint {table}.{name}" for table, name in new_constraints if table in tables}


def test_every_migration_leaves_what_the_code_before_it_uses(empty: str) -> None:
    config = schema.alembic_config(empty)
    revisions = sorted(script.revision for script in ScriptDirectory.from_config(config).walk_revisions())
    assert len(revisions) > 1
    command.upgrade(config, revisions[0])
    before = read(empty)
    assert before["column"]
    for revision in revisions[1:]:
        command.upgrade(config, revision)
        after = read(empty)
        assert breaks(before, after) == set(), revision
        assert after != before, "the comparison sees what this migration does"
        before = after


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("DROP COLUMN title", {"column tasks.title", "constraint tasks.tasks_title_not_empty"}),
        ("RENAME COLUMN title TO name", {"column tasks.title", "constraint tasks.tasks_title_not_empty"}),
        ("ALTER COLUMN description SET NOT NULL", {"column tasks.description"}),
        ("ALTER COLUMN title TYPE varchar(100)", {"column tasks.title"}),
        ("ADD COLUMN due date NOT NULL", {"column tasks.due"}),
        ("ADD CHECK (title <> 'x')", {"constraint tasks.tasks_title_check"}),
        ("FORCE ROW LEVEL SECURITY", {"row security tasks."}),
        ("ADD COLUMN due date", set()),
        ("ADD COLUMN priority integer NOT NULL DEFAULT 0", set()),
    ],
)
def test_a_migration_that_breaks_the_code_before_it_would_be_noticed(empty: str, change: str, broken: set[str]) -> None:
    schema.migrate(empty)
    before = read(empty)
    with psycopg.connect(empty) as connection:
        connection.execute(f"ALTER TABLE tasks {change}".encode())
    found = breaks(before, read(empty))
    assert broken <= found
    assert bool(found) is bool(broken)
