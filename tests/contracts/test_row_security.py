"""The repository as a role that sees only the rows of the owners that each statement carries, whatever the planner
does; and statements that have lost a condition on the owner."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from adapters.postgres import policies, statements, user_records
from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from adapters.postgres.sql import OWNERS, Statement
from adapters.postgres.user_records import PostgresUserRecords
from application.user_records import Count, erase
from domain.errors import StorageUnavailable
from domain.values import IdempotencyKey
from tests.contracts.task_repository import ALICE, BOB, KEY, LATER, MILK, NOON, TaskRepositoryContract
from tests.databases import fresh_database

PLANS = {
    "as planned": "",
    "no nested loops": "-c enable_nestloop=off",
    "nested loops only": "-c enable_hashjoin=off -c enable_mergejoin=off",
    "merge joins only": "-c enable_nestloop=off -c enable_hashjoin=off",
    "no indexes": "-c enable_indexscan=off -c enable_bitmapscan=off -c enable_indexonlyscan=off",
    "custom plans": "-c plan_cache_mode=force_custom_plan",
    "generic plans": "-c plan_cache_mode=force_generic_plan",
}


@pytest.fixture(scope="module")
def guarded(server: str, template: str, worker_id: str) -> Iterator[str]:
    """A database whose serving role sees rows by their owners."""
    role = f"guarded_{worker_id}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        with fresh_database(server, f"todo_guarded_{worker_id}", template) as conninfo:
            with psycopg.connect(conninfo) as owner:
                policies.admit(owner, role, by_owner=True)
            yield make_conninfo(conninfo, options=f"-c role={role}")
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.fixture(params=PLANS)
async def pool(request: pytest.FixtureRequest, guarded: str) -> AsyncIterator[Pool]:
    as_owner = make_conninfo(guarded, options="")
    async with await psycopg.AsyncConnection.connect(as_owner, autocommit=True) as connection:
        await connection.execute("DELETE FROM tasks; DELETE FROM task_creations")
        options = psycopg.conninfo.conninfo_to_dict(guarded)["options"]
        pool = Pool(make_conninfo(guarded, options=f"{options} {PLANS[request.param]}"), connections=8, prepare=None)
        yield pool
        await pool.close()


@pytest.fixture
def database_of_role(pool: Pool) -> Database:
    return Database(pool, row_security=True)


@pytest.fixture
def tasks(database_of_role: Database) -> PostgresTaskRepository:
    return PostgresTaskRepository(database_of_role, extras=True)


@pytest.mark.parametrize("pool", ["as planned", "no nested loops"], indirect=True)
class TestGuardedTaskRepository(TaskRepositoryContract):
    """Runs on the fixtures above."""


EVERY = [*statements.STATEMENTS, user_records.COUNT, user_records.KEYS, user_records.ERASE_SOME]


def without_owner(statement: Statement) -> Statement:
    """The statement as somebody might write it who forgets the owner: none of its conditions compares it."""
    text = re.sub(
        r"\((?:tasks|known)\.user_id, ([^)]*)\) = \(\w+\.(?:owner|user_id), ([^)]*)\)", r"(\1) = (\2)", statement.sql
    )
    return replace(statement, sql=re.sub(r"\w+\.user_id = call\.owner", "true", text))


BROKEN = [(statement, without_owner(statement)) for statement in EVERY]
BROKEN = [(intact, broken) for intact, broken in BROKEN if broken.sql != intact.sql]


NOTHING: Sequence[object] = ([], [(0,)], [(0, 0)])
"""What a statement returns that finds nothing; the latter count."""


def test_every_statement_that_compares_owners_can_be_broken() -> None:
    intact = {statement.name for statement in EVERY} - {statement.name for statement, _ in BROKEN}
    assert intact == {"add", "add_once", "settle"}


def test_every_statement_carries_its_owners_but_the_one_that_reads_no_table() -> None:
    for statement in EVERY:
        assert next(iter(statement.parameters)) == "owner"
        _, _, outermost = statement.sql.rpartition("WHERE ")
        assert outermost.startswith(OWNERS) is (statement.name != "settle"), statement.name
        assert b"set_config" not in statement.query


class Stored:
    """A task of Alice's, created with a key."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo

    async def create(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
            cursor = await connection.execute(
                "INSERT INTO tasks (user_id, title, completed, created_at, updated_at) VALUES "
                "('alice', 'Buy milk', false, %s, %s) RETURNING id",
                [NOON, NOON],
            )
            [[self.id]] = await cursor.fetchall()
            await connection.execute("INSERT INTO task_creations VALUES ('alice', %s, 'd', 1, now())", [KEY])

    async def read(self) -> Sequence[Any]:
        async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
            tasks = await (await connection.execute("SELECT * FROM tasks")).fetchall()
            return [tasks, await (await connection.execute("SELECT * FROM task_creations")).fetchall()]

    def arguments(self, statement: Statement, owner: str) -> Sequence[object]:
        """Of a call that is after Alice's task and key."""
        known = {
            "owner": owner,
            "id": self.id,
            "version": NOON,
            "expected_created_at": NOON,
            "expected_title": "Buy milk",
            "expected_completed": False,
            "updated_at": LATER,
            "title": "Stolen",
            "completed": None if "page" in statement.sql else True,
            "search": ".",
            "key": KEY,
            "size": 10,
            "most": 10,
            "ids": f"{{{self.id}}}",
            "up_to": 2**53,
            "versions": f'[[{self.id}, "{NOON.isoformat()}"]]',
        }
        return [known.get(name) for name in statement.parameters]


@pytest.fixture
async def stored(pool: Pool, guarded: str) -> Stored:
    stored = Stored(make_conninfo(guarded, options=""))
    await stored.create()
    return stored


async def result(database: Database, statement: Statement, arguments: Sequence[object]) -> Sequence[Any]:
    return await database.ask(statement, *arguments, deadline=database.deadline())


async def test_a_statement_that_forgot_the_owner_finds_and_changes_nothing_of_others(
    pool: Pool, stored: Stored, guarded: str
) -> None:
    database = Database(pool, batching=False, row_security=True)
    before = await stored.read()
    for intact, broken in BROKEN:
        arguments = stored.arguments(intact, "bob")
        expected = await result(database, intact, arguments)
        assert expected in NOTHING, intact.name
        for _ in range(6):  # the server keeps its plan from the sixth execution on
            assert await result(database, broken, arguments) == expected, intact.name
        assert await stored.read() == before, intact.name


async def test_without_row_security_the_same_statements_find_or_change_what_is_alice_s(guarded: str) -> None:
    """Otherwise the test above would prove nothing."""
    pool = Pool(make_conninfo(guarded, options=""), connections=1, prepare=None)
    database = Database(pool, batching=False)
    for intact, broken in BROKEN:
        async with await psycopg.AsyncConnection.connect(make_conninfo(guarded, options=""), autocommit=True) as owner:
            await owner.execute("DELETE FROM tasks; DELETE FROM task_creations")
        stored = Stored(make_conninfo(guarded, options=""))
        await stored.create()
        before, arguments = await stored.read(), stored.arguments(intact, "bob")
        found = await result(database, broken, arguments)
        assert found not in NOTHING or await stored.read() != before, intact.name
    await pool.close()


async def test_a_statement_cannot_store_for_another_owner(pool: Pool, stored: Stored) -> None:
    database = Database(pool, batching=False, row_security=True)
    before = await stored.read()
    for statement, column in (
        (statements.ADD, "new_id"),
        (statements.ADD_ONCE, "task_id"),
        (statements.ADD_ONCE, "key"),
    ):
        broken = replace(statement, sql=statement.sql.replace(f"SELECT owner, {column}", f"SELECT 'alice', {column}"))
        assert broken.sql != statement.sql
        arguments = ["x" if each is None else each for each in stored.arguments(statement, "bob")]
        arguments[[*statement.parameters].index("at")] = NOON
        with pytest.raises(StorageUnavailable):
            await result(database, broken, arguments)
        assert await stored.read() == before


async def test_a_statement_that_carries_no_owners_finds_nothing(pool: Pool, stored: Stored) -> None:
    carrying, bare = Database(pool, batching=False, row_security=True), Database(pool, batching=False)
    arguments = stored.arguments(statements.GET, "alice")
    assert await result(bare, statements.GET, arguments) == []
    assert len(await result(carrying, statements.GET, arguments)) == 1
    assert await result(bare, statements.GET, arguments) == [], "the setting ended with the statement"


async def test_a_batch_admits_the_owners_of_its_calls(pool: Pool, stored: Stored) -> None:
    database = Database(pool, row_security=True)
    owners = ["bob", "alice", 'a"b', "a,b", "{alice}", "NULL", "", "ålice", "alice\\"]
    calls = [result(database, statements.GET, stored.arguments(statements.GET, owner)) for owner in owners]
    assert [len(rows) for rows in await asyncio.gather(*calls)] == [int(owner == "alice") for owner in owners]


async def test_expired_keys_of_others_are_still_removed(
    pool: Pool, guarded: str, tasks: PostgresTaskRepository
) -> None:
    as_owner = make_conninfo(guarded, options="")
    async with await psycopg.AsyncConnection.connect(as_owner, autocommit=True) as owner:
        await owner.execute("INSERT INTO task_creations VALUES ('carol', 'old', 'd', 1, now() - interval '25 hours')")
        await owner.execute("INSERT INTO task_creations VALUES ('carol', 'new', 'd', 1, now() - interval '23 hours')")
        await tasks.add(BOB, MILK, datetime.now(UTC), IdempotencyKey("k"))
        left = await (await owner.execute("SELECT user_id, key FROM task_creations ORDER BY 1")).fetchall()
    assert left == [("bob", "k"), ("carol", "new")]


async def test_a_user_can_be_erased_by_the_serving_role(pool: Pool, stored: Stored) -> None:
    records = PostgresUserRecords(Database(pool, batching=False, row_security=True))
    assert await records.count(ALICE) == Count(1, 1)
    assert [step async for step in erase(records, BOB)] == []
    assert [step async for step in erase(records, ALICE)] == [Count(1, 1)]
