"""The repository contract on PostgreSQL, and what only a database can get wrong."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from adapters.postgres import schema, statements
from adapters.postgres.connection import Connection
from adapters.postgres.database import Database
from adapters.postgres.failures import StatementRefused
from adapters.postgres.pool import Pool
from adapters.postgres.repository import MAX_WAITING, PostgresTaskRepository, _digest
from adapters.postgres.statements import PAGES
from domain.errors import StorageUnavailable, TooManyRequests
from domain.extras import Extras
from domain.listing import Position, Selection, Sort
from domain.search import SearchText
from domain.task import Draft, Task
from domain.values import IdempotencyKey, TaskId, Title
from tests.contracts.task_repository import ALICE, BOB, KEY, LATER, MILK, NOON, TaskRepositoryContract, append
from tests.contracts.watched_pool import NAMES, WatchedPool
from tests.databases import serving_role


@pytest.fixture
def tasks(pool: Pool, batching: bool) -> PostgresTaskRepository:
    return PostgresTaskRepository(Database(pool, batching=batching), extras=True)


class TestPostgresTaskRepository(TaskRepositoryContract):
    """Runs on the fixture above, with batching and without."""


class TestWithoutExtras(TaskRepositoryContract):
    """As by default."""

    @pytest.fixture
    def tasks(self, pool: Pool) -> PostgresTaskRepository:
        return PostgresTaskRepository(Database(pool))

    test_extras_are_merged_by_member = test_every_valid_draft_can_be_stored = None  # type: ignore[assignment]


class TestWithoutLibpqItself(TaskRepositoryContract):
    @pytest.fixture
    async def tasks(self, pool: Pool, database: str) -> AsyncIterator[PostgresTaskRepository]:
        slower = Pool(database, connections=8, prepare=None, driver=Connection)
        yield PostgresTaskRepository(Database(slower), extras=True)
        await slower.close()


class TestAsTheServingRole(TaskRepositoryContract):
    """With its privileges and no others."""

    @pytest.fixture
    async def tasks(self, pool: Pool, database: str, worker_id: str) -> AsyncIterator[PostgresTaskRepository]:
        with serving_role(database, f"serving_{worker_id}") as conninfo:
            serving = Pool(conninfo, connections=8, prepare=None)
            yield PostgresTaskRepository(Database(serving), extras=True)
            await serving.close()


@pytest.mark.parametrize("time", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)])
async def test_pages_can_begin_at_any_time_that_python_knows(pool: Pool, batching: bool, time: datetime) -> None:
    """A cursor may hold any of them, and a statement that PostgreSQL rejects fails for its whole batch."""
    tasks = PostgresTaskRepository(Database(pool, batching=batching))
    position = Position(time, TaskId(1))
    assert await tasks.page(ALICE, Selection(sort=Sort.UPDATED), after=position, limit=10) == []


async def test_tasks_are_kept_in_the_schema_of_the_search_path(pool: Pool, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA app")
        try:
            there = make_conninfo(database, options="-csearch_path=app,public")
            schema.migrate(there)  # finds the tables in public, and uses them
            assert owner.execute("SELECT to_regclass('app.tasks')").fetchone() == (None,)
            there = make_conninfo(database, options="-csearch_path=app")
            schema.migrate(there)
            elsewhere = Pool(there, connections=2, prepare=None)
            try:
                task = await PostgresTaskRepository(Database(elsewhere)).add(ALICE, MILK, NOON, KEY)
                await Database(elsewhere).ping()
            finally:
                await elsewhere.close()
            assert owner.execute("SELECT id, (SELECT count(*) FROM public.tasks) FROM app.tasks").fetchall() == [
                (task.id, 0)
            ]
        finally:
            owner.execute("DROP SCHEMA app CASCADE")


async def test_a_role_that_may_only_read_can_read_and_its_writes_are_unavailable(
    pool: Pool, database: str, worker_id: str, batching: bool
) -> None:
    task = await PostgresTaskRepository(Database(pool)).add(ALICE, MILK, NOON)
    with serving_role(database, f"reader_{worker_id}", "INSERT, UPDATE, DELETE ON tasks, task_creations") as conninfo:
        reading = Pool(conninfo, connections=8, prepare=None)
        tasks = PostgresTaskRepository(Database(reading, batching=batching))
        try:
            assert await tasks.get(ALICE, task.id) == task
            assert await tasks.page(ALICE, limit=10) == [task]
            for write in (
                tasks.add(ALICE, MILK, NOON),
                tasks.add(ALICE, MILK, NOON, KEY),
                tasks.update(ALICE, task.id, lambda task: task.toggle(LATER)),
                tasks.remove(ALICE, task.id),
            ):
                with pytest.raises(StorageUnavailable):
                    await write
        finally:
            await reading.close()
    assert await PostgresTaskRepository(Database(pool)).get(ALICE, task.id) == task


@pytest.fixture
async def watched(pool: Pool, database: str) -> AsyncIterator[WatchedPool]:
    watched = WatchedPool(database, connections=8, prepare=None)
    yield watched
    await watched.close()


async def test_a_single_call_is_one_statement_and_an_update_is_two(watched: WatchedPool, batching: bool) -> None:
    tasks = PostgresTaskRepository(Database(watched, batching=batching))
    task = await tasks.add(ALICE, MILK, NOON)
    assert watched.take() == ["ADD"]
    await tasks.get(ALICE, task.id)
    assert watched.take() == ["GET"]
    await tasks.page(ALICE, limit=100)
    assert watched.take() == ["PAGE"]
    await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))
    assert watched.take() == ["GET", "SAVE"]
    await tasks.update(ALICE, task.id, lambda task: task)
    assert watched.take() == ["GET"]
    await tasks.remove(ALICE, task.id)
    assert watched.take() == ["GET", "REMOVE"]
    await tasks.add(ALICE, MILK, NOON, KEY)
    assert watched.take() == ["ADD_ONCE"]
    await tasks.add(ALICE, MILK, NOON, KEY)
    assert watched.take() == ["ADD_ONCE", "RECALL", "SETTLE"]


async def test_concurrent_calls_share_a_statement(watched: WatchedPool) -> None:
    tasks = PostgresTaskRepository(Database(watched))
    added = await asyncio.gather(*(tasks.add(owner, MILK, NOON) for owner in (ALICE, BOB) for _ in range(50)))
    assert watched.take() == ["ADD"]
    await asyncio.gather(*(tasks.get(task.user_id, task.id) for task in added))
    await asyncio.gather(*(tasks.update(task.user_id, task.id, lambda task: task.toggle(LATER)) for task in added))
    await asyncio.gather(*(tasks.remove(task.user_id, task.id) for task in added))
    assert watched.take() == ["GET", "GET", "SAVE", "GET", "REMOVE"]


async def test_without_batching_each_call_has_a_statement_of_its_own(watched: WatchedPool) -> None:
    tasks = PostgresTaskRepository(Database(watched, batching=False))
    added = await asyncio.gather(*(tasks.add(ALICE, MILK, NOON) for _ in range(20)))
    await asyncio.gather(*(tasks.get(ALICE, task.id) for task in added))
    assert watched.take() == ["ADD"] * 20 + ["GET"] * 20


def test_every_statement_names_the_owner() -> None:
    for query, name in NAMES.items():
        match name:
            case "ADD":
                assert b"INSERT INTO tasks (user_id, " in query
                assert b"SELECT owner, new_id, " in query
            case "ADD_ONCE":
                assert b"INSERT INTO tasks (user_id, " in query
                assert b"SELECT owner, task_id, " in query
                assert query.count(b"ON (fresh.user_id, fresh.key) = (call.owner, call.key)") == 2
            case "SETTLE":
                assert b"tasks" not in query
            case "RECALL":
                assert b"ON (known.user_id, known.key) = (call.owner, call.key)" in query
            case "REMOVE_OLDEST":
                assert b"FROM tasks WHERE tasks.user_id = call.owner AND" in query
                assert b"WHERE true AND (tasks.user_id, tasks.id) = (oldest.user_id, oldest.id)" in query
            case "REMOVE_ALL":
                assert b"ON (tasks.user_id, tasks.id) = (expected.owner, expected.id)" in query
                assert b"ON tasks.user_id = call.owner" in query
                assert b"WHERE true AND (tasks.user_id, tasks.id) = (expected.owner, expected.id)" in query
            case "PAGE" | "COUNT":
                assert re.search(rb"FROM tasks\s+WHERE tasks.user_id = call.owner (AND|LIMIT)", query)
            case _:
                assert re.search(rb"ON \(tasks.user_id, tasks.id\) = \(call.owner, (call|wanted).id\)", query)
    for statement in (statements.SAVE, statements.REMOVE):
        where = rb"WHERE true AND \(tasks\.user_id, tasks\.id.*\) = \(expected\.owner, expected\.id"
        assert re.search(where, statement.query)


async def test_without_extras_those_that_are_stored_stay_as_they_are(tasks: PostgresTaskRepository) -> None:
    kept = await tasks.add(ALICE, Draft(MILK.title, extras=Extras({"priority": "high"})), NOON)
    plain = PostgresTaskRepository(tasks._database)
    assert await plain.get(ALICE, kept.id) == kept._replace(extras=None)
    assert [task.extras for task in await plain.page(ALICE, limit=9)] == [None]
    changed = await plain.update(ALICE, kept.id, lambda task: task.toggle(LATER))
    assert await tasks.get(ALICE, kept.id) == changed._replace(extras=kept.extras)


def test_only_the_statements_that_have_the_fields_of_a_task_know_extras() -> None:
    extended = {s.name for s in statements.STATEMENTS if b"extras" in statements.with_extras(s).query}
    assert extended == {s.name for s in statements.STATEMENTS} - {
        "recall",
        "count",
        "remove",
        "remove_oldest",
        "remove_all",
        "settle",
    }
    assert not [s.name for s in statements.STATEMENTS if b"extras" in s.query]


async def test_a_task_is_stored_when_the_call_returns(tasks: PostgresTaskRepository, database: str) -> None:
    task = await tasks.add(ALICE, MILK, NOON)
    async with await psycopg.AsyncConnection.connect(database) as other:
        cursor = await other.execute("SELECT title FROM tasks WHERE id = %s", [task.id])
        assert await cursor.fetchone() == ("Buy milk",)


async def test_an_update_is_applied_on_top_of_a_concurrent_one(tasks: PostgresTaskRepository) -> None:
    task = await tasks.add(ALICE, Draft(MILK.title), NOON)
    faster = PostgresTaskRepository(tasks._database)
    attempts = []

    def slow(task: Task) -> Task:
        attempts.append(task)
        return append("?", task)

    original_row = tasks._row

    async def overtaken(*arguments: object) -> Sequence[Any]:
        row = await original_row(*arguments)  # type: ignore[arg-type]
        if not attempts:
            await faster.update(ALICE, task.id, lambda task: append("!", task))
        return row

    tasks._row = overtaken  # type: ignore[assignment, method-assign]
    assert (await tasks.update(ALICE, task.id, slow)).title == "Buy milk!?"
    assert len(attempts) == 2


@pytest.mark.parametrize("limit", [1, 500])
@pytest.mark.parametrize("descending", [False, True])
async def test_a_page_of_a_long_list_is_read_by_the_index(
    pool: Pool, database: str, limit: int, descending: bool
) -> None:
    """Even where PostgreSQL knows that nearly all tasks belong to the owner, and might prefer to sort them."""
    statement = PAGES[Sort.CREATED, descending, False]
    values = statement.arrays([(ALICE, None, None, None, None, limit)])
    async with await psycopg.AsyncConnection.connect(
        database, autocommit=True, cursor_factory=psycopg.AsyncRawCursor
    ) as connection:
        await connection.execute(
            "INSERT INTO tasks (user_id, title, completed, created_at, updated_at) "
            "SELECT 'alice', 'task ' || number, false, now(), now() FROM generate_series(1, 20000) AS number"
        )
        await connection.execute("ANALYZE tasks")
        plan = await connection.execute(b"EXPLAIN " + statement.query, values)
        text = "\n".join(line for (line,) in await plan.fetchall())
        await connection.execute("DELETE FROM tasks")
        await connection.execute("ANALYZE tasks")
    assert "Sort Key: tasks.id" not in text
    assert re.search("Index Scan (Backward )?using tasks_pkey on tasks", text)


async def test_a_prepared_statement_settles_on_one_plan_for_batches_of_any_size(pool: Pool, database: str) -> None:
    """PostgreSQL would otherwise plan again for each short batch, because it sees how short it is."""
    single = Pool(database, connections=1, prepare=True)
    tasks = PostgresTaskRepository(Database(single))
    for _ in range(20):
        task = await tasks.add(ALICE, MILK, NOON)
        await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))
        await tasks.page(ALICE, limit=9)
        await tasks.remove(ALICE, task.id)
    plans = await single.run(
        b"SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE statement LIKE '%unnest%'",
        (),
        asyncio.get_running_loop().time() + 60,
    )
    await single.close()
    assert len(plans) == 5
    assert all(custom <= 5 < generic for custom, generic in plans)


async def test_adding_with_a_key_deletes_expired_keys(tasks: PostgresTaskRepository, database: str) -> None:
    for letter in "abc":
        await tasks.add(ALICE, MILK, NOON, IdempotencyKey(letter))
    await tasks.add(BOB, MILK, NOON + IdempotencyKey.LIFETIME - timedelta(microseconds=1), IdempotencyKey("not yet"))
    await tasks.add(BOB, MILK, NOON + IdempotencyKey.LIFETIME, IdempotencyKey("now"))
    async with await psycopg.AsyncConnection.connect(database) as other:
        cursor = await other.execute("SELECT key FROM task_creations ORDER BY key")
        assert await cursor.fetchall() == [("not yet",), ("now",)]
    assert len(await tasks.page(ALICE, limit=9)) == 3


@pytest.mark.parametrize("queue", [Selection(search=SearchText("queue")), Selection(sort=Sort.TITLE)], ids=str)
async def test_scans_of_one_owner_take_turns_and_do_not_delay_other_owners(
    watched: WatchedPool, batching: bool, queue: Selection
) -> None:
    tasks = PostgresTaskRepository(Database(watched, batching=batching))
    await asyncio.gather(*(tasks.add(owner, Draft(Title("Queue up")), NOON) for owner in (ALICE, BOB)))
    watched.take()
    hers = [asyncio.create_task(tasks.page(ALICE, queue, limit=9)) for _ in range(20)]
    beyond = [hers.pop() for _ in range(len(hers) - 1 - MAX_WAITING)]
    await asyncio.sleep(0)  # until all of hers have begun
    his = await tasks.page(BOB, queue, limit=9)
    assert len(his) == 1
    assert any(BOB in owners for owners in watched.owners[:3])
    assert [len(page) for page in await asyncio.gather(*hers)] == [1] * len(hers)
    assert len(watched.take()) >= len(hers), "each of hers is alone; his may share a statement with one of them"
    refused = await asyncio.gather(*beyond, return_exceptions=True)
    assert [*map(type, refused)] == [TooManyRequests] * 3
    assert len(await tasks.page(ALICE, queue, limit=9)) == 1


async def test_times_are_in_utc_whatever_the_database_is_set_to(database: str, pool: Pool) -> None:
    abroad = Pool(f"{database} options='-c TimeZone=America/New_York'", connections=1, prepare=None)
    tasks = PostgresTaskRepository(Database(abroad))
    task = await tasks.get(ALICE, (await tasks.add(ALICE, MILK, NOON)).id)
    await abroad.close()
    assert task.created_at == NOON
    assert task.created_at.tzinfo is UTC


async def test_connections_closed_by_the_server_are_replaced_without_an_error(
    tasks: PostgresTaskRepository, admin: psycopg.Connection
) -> None:
    await asyncio.gather(
        *(call for _ in range(20) for call in (tasks.add(ALICE, MILK, NOON), tasks.page(BOB, limit=1)))
    )
    terminated = admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert len(terminated.fetchall()) > 1
    assert len(await asyncio.gather(*(tasks.page(ALICE, limit=100) for _ in range(20)))) == 20


async def test_an_unreachable_database_is_storage_unavailable() -> None:
    nowhere = Pool("host=127.0.0.1 port=1 user=nobody password=secret", connections=1, prepare=None)
    with pytest.raises(StorageUnavailable):
        await PostgresTaskRepository(Database(nowhere)).get(ALICE, (await _any_task()).id)
    await nowhere.close()


async def _any_task() -> Task:
    from adapters.in_memory import InMemoryTaskRepository

    return await InMemoryTaskRepository().add(ALICE, MILK, NOON)


async def test_a_bug_is_reported_without_the_message_of_postgresql(tasks: PostgresTaskRepository) -> None:
    with pytest.raises(RuntimeError) as bug:
        await tasks.add(ALICE, Draft("private" * 100), NOON)  # type: ignore[arg-type]
    assert "22001" in str(bug.value)
    assert "private" not in str(bug.value)
    assert bug.value.__suppress_context__


def test_digests_of_earlier_releases_stay_valid() -> None:
    """A retry that spans an upgrade is recognised by the digest that the previous release stored."""
    assert _digest(MILK) == blake2b(b'["Buy milk","Two litres",false]', digest_size=16).hexdigest()


async def test_data_that_the_database_refuses_fails_its_own_call_only(pool: Pool, batching: bool) -> None:
    tasks = PostgresTaskRepository(Database(pool, batching=batching))
    drafts = [Draft(Title(f"task {number}")) for number in range(40)]
    for number in (0, 7, 39):
        drafts[number] = Draft("too long" * 100)  # type: ignore[arg-type]
    added = await asyncio.gather(*(tasks.add(ALICE, draft, NOON) for draft in drafts), return_exceptions=True)
    assert [number for number, task in enumerate(added) if isinstance(task, StatementRefused)] == [0, 7, 39]
    stored = await tasks.page(ALICE, limit=100)
    assert sorted(stored) == sorted(task for task in added if isinstance(task, Task))
    assert len(stored) == 37
