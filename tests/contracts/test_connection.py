"""A connection and the pool of them: with libpq itself, and with psycopg's `execute`."""

import asyncio
import os
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from structlog.testing import capture_logs

from adapters.postgres.batching import Batcher
from adapters.postgres.connection import Connection, Rows
from adapters.postgres.database import Database
from adapters.postgres.failures import OutcomeUnknown
from adapters.postgres.libpq import LibpqConnection, _name
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from adapters.postgres.timeouts import Timeouts
from domain.errors import StorageUnavailable, TooManyRequests
from domain.task import Draft, Task
from domain.values import Description, Title, UserId
from tests.contracts.task_repository import NOON
from tests.faults.proxy import proxy

DOUBLE = b"SELECT 2 * $1::int"
SLEEPING = b"SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(60)'"


@pytest.fixture
async def single(pool: Pool, database: str, driver: type[Connection]) -> AsyncIterator[Pool]:
    """With one connection."""
    single = Pool(database, connections=1, prepare=True, driver=driver)
    yield single
    await single.close()


async def run(pool: Pool, query: bytes, *values: str) -> Rows:
    return await pool.run(query, values, asyncio.get_running_loop().time() + 60)


async def prepared(pool: Pool) -> list[str]:
    query = b"SELECT name FROM pg_prepared_statements WHERE statement !~ 'pg_prepared'"
    return [name for (name,) in await run(pool, query)]


async def prepare(pool: Pool) -> None:
    """Executes DOUBLE until it is prepared."""
    for number in range(7):
        assert await run(pool, DOUBLE, str(number)) == [(2 * number,)]
    assert await prepared(pool)


async def test_a_statement_is_prepared_once_and_then_executed_by_name(single: Pool) -> None:
    await prepare(single)
    [name] = await prepared(single)
    assert await run(single, DOUBLE, "21") == [(42,)]
    assert await prepared(single) == [name]


def test_statements_have_the_same_name_only_if_they_are_the_same() -> None:
    assert _name(b"SELECT 1") == _name(b"SELECT 1") != _name(b"SELECT 2")
    assert len(_name(DOUBLE)) < 64, "PostgreSQL cuts longer names"


async def test_a_pooler_that_loses_prepared_statements_is_noticed_once_and_no_statement_fails(single: Pool) -> None:
    await prepare(single)
    await run(single, b"DO 'BEGIN EXECUTE ''DEALLOCATE ALL''; END'")
    with capture_logs() as lines:
        assert await run(single, DOUBLE, "21") == [(42,)]
        assert await prepared(single) == []
        for number in range(9):
            assert await run(single, DOUBLE, str(number)) == [(2 * number,)]
    assert await prepared(single) == []
    assert [line["event"] for line in lines] == ["prepared statements switched off"]


async def test_a_pooler_whose_sessions_know_another_client_s_statement_is_noticed(database: str, pool: Pool) -> None:
    single = Pool(database, connections=1, prepare=True, driver=LibpqConnection)
    await run(single, b"PREPARE " + _name(DOUBLE) + b" AS " + DOUBLE)
    for number in range(9):
        assert await run(single, DOUBLE, str(number)) == [(2 * number,)]
    await single.close()


async def test_a_plan_that_a_migration_made_stale_is_replaced(single: Pool, database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as other:
        await other.execute("CREATE TABLE migrated (name varchar(5)); INSERT INTO migrated VALUES ('old')")
        for _ in range(7):
            assert await run(single, b"SELECT name FROM migrated") == [("old",)]
        await other.execute("ALTER TABLE migrated ALTER name TYPE varchar(10)")
        for _ in range(7):
            assert await run(single, b"SELECT name FROM migrated") == [("old",)]
        await other.execute("DROP TABLE migrated")
    assert await prepared(single), "prepared again"


async def test_a_commit_that_fails_after_the_rows_have_arrived_is_a_failure(single: Pool) -> None:
    await run(single, b"CREATE TEMPORARY TABLE once (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    insert = b"INSERT INTO once VALUES ($1) RETURNING number"
    assert await run(single, insert, "1") == [(1,)]
    with pytest.raises(RuntimeError, match="23505"):
        await run(single, insert, "1")
    assert await run(single, insert, "2") == [(2,)]


async def test_a_result_whose_commit_is_not_confirmed_has_an_unknown_outcome(
    database: str, pool: Pool, driver: type[Connection]
) -> None:
    async with proxy(database) as between:
        single = Pool(between.conninfo, connections=1, prepare=None, driver=driver)
        assert await run(single, DOUBLE, "1") == [(2,)]
        between.end_to_lose = b"Z\0\0\0\5I"  # "ready for query", which follows the commit
        with pytest.raises(OutcomeUnknown):
            await run(single, DOUBLE, "1")
        assert await run(single, DOUBLE, "1") == [(2,)]
        await single.close()


class FullBatcher(Batcher):
    async def ask(self, *_: object) -> Rows:
        raise TooManyRequests


async def test_a_change_whose_outcome_is_unknown_is_never_refused_as_one_too_many(
    database: str, pool: Pool, driver: type[Connection]
) -> None:
    async with proxy(database) as between:
        single = Pool(between.conninfo, connections=1, prepare=None, driver=driver)
        shared = Database(single)
        shared.batchers = {
            **shared.batchers,
            "save_again": FullBatcher(shared.batchers["save_again"]._execute, in_flight=1),
        }
        tasks, alice = PostgresTaskRepository(shared), UserId("alice")
        task = await tasks.add(alice, Draft(Title("Buy milk")), NOON)

        def change(task: Task) -> Task:
            between.end_to_lose = b"Z\0\0\0\5I"  # of the statement that saves
            return task.toggle(NOON)

        with pytest.raises(StorageUnavailable):
            await tasks.update(alice, task.id, change)
        assert (await tasks.get(alice, task.id)).completed
        await single.close()


async def test_a_batch_may_be_larger_than_the_buffers_of_the_network(
    database: str, pool: Pool, driver: type[Connection]
) -> None:
    async with proxy(database) as between:
        some = Pool(between.conninfo, connections=2, prepare=None, driver=driver)
        tasks, alice = PostgresTaskRepository(Database(some)), UserId("alice")
        long = Draft(Title("long"), Description("\N{ELEPHANT}" * 5000))
        for _ in range(3):
            await asyncio.gather(*(tasks.add(alice, long, NOON) for _ in range(200)))
        page = await tasks.page(alice, limit=1000)
        assert {task.description for task in page} == {long.description}
        assert len(page) == 600
        await some.close()


async def test_a_cancelled_statement_is_cancelled_on_the_server_and_frees_its_connection(
    database: str, pool: Pool, driver: type[Connection]
) -> None:
    single = Pool(database, connections=1, prepare=None, timeouts=Timeouts(attempt=60), driver=driver)
    sleeping = asyncio.ensure_future(run(single, b"SELECT pg_sleep(60)"))
    await _active(database)
    sleeping.cancel()
    assert await asyncio.wait_for(run(single, DOUBLE, "1"), 10) == [(2,)]
    assert sleeping.cancelled()
    assert not await run(single, SLEEPING)
    await single.close()


async def test_a_statement_on_a_dead_network_ends_when_all_tasks_are_cancelled(
    database: str, driver: type[Connection]
) -> None:
    """As `asyncio.run` does at the end of a process, while the server is asked to cancel the statement."""
    async with proxy(database) as between:
        connection = await driver.open(between.conninfo, cancel_timeout=60)
        between.forget()
        others = asyncio.all_tasks()
        executing = asyncio.create_task(connection.execute(b"SELECT 1", (), 0, prepare=False))
        while not connection.expired:  # noqa: ASYNC110 - a connection has no events
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - others:
            task.cancel()
        await asyncio.wait([executing], timeout=60)
        assert executing.done()
        connection.close()


async def test_a_statement_ends_that_is_cancelled_while_its_connection_closes(database: str) -> None:
    connection = await LibpqConnection.open(database, cancel_timeout=60)
    deadline = asyncio.get_running_loop().time() + 60
    executing = asyncio.create_task(connection.execute(b"SELECT pg_sleep(60)", (), deadline, prepare=False))
    await asyncio.sleep(0)
    assert connection._waiter
    executing.cancel()
    connection.close()
    await asyncio.wait([executing], timeout=60)
    assert executing.cancelled()


async def _active(database: str) -> None:
    """Until the server executes the sleeping statement."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as other:
        while not await (await other.execute(SLEEPING)).fetchall():
            pass


async def test_a_connection_that_the_server_closes_while_idle_is_closed_here_too(
    database: str, pool: Pool, driver: type[Connection]
) -> None:
    async with proxy(database) as between:
        single = Pool(between.conninfo, connections=1, prepare=None, driver=driver)
        [(first,)] = await run(single, b"SELECT pg_backend_pid()")
        between.close_connections()
        await asyncio.sleep(0.05)
        [(second,)] = await run(single, b"SELECT pg_backend_pid()")
        assert first != second
        assert (single.open, single.in_use) == (1, 0)
        await single.close()
        assert single.open == 0


async def test_an_idle_connection_keeps_no_result(database: str) -> None:
    """A batch of pages has megabytes."""
    connection = await LibpqConnection.open(database, cancel_timeout=1)
    deadline = asyncio.get_running_loop().time() + 60
    for _ in range(3):  # prepared from the second on
        assert await connection.execute(DOUBLE, ["1"], deadline, prepare=True) == [(2,)]
        assert (connection._result, connection._rows.pgresult) == (None, None)
    connection.close()


async def test_the_event_loop_forgets_the_socket_of_a_closed_connection(database: str) -> None:
    connection = await LibpqConnection.open(database, cancel_timeout=1)
    socket = connection._driver.fileno()
    connection.close()
    loop = asyncio.get_running_loop()
    assert not loop.remove_reader(socket)
    reader, writer = os.pipe()
    try:
        os.dup2(reader, socket)  # its number is used again
        loop.add_reader(socket, lambda: None)
        connection.close()
        assert loop.remove_reader(socket)
    finally:
        for number in {reader, writer, socket}:
            os.close(number)


async def test_a_password_that_changed_is_used_by_the_next_connection(database: str) -> None:
    """As with short-lived passwords in a file. An open connection stays."""
    current = "options='-c application_name=first'"
    pool = Pool(database, connections=2, prepare=None, renew=lambda: f"{database} {current}")
    deadline = asyncio.get_running_loop().time() + 30
    name = b"SELECT current_setting('application_name') FROM pg_sleep($1::float)"
    assert await pool.run(name, ["0"], deadline) == [("first",)]
    current = "options='-c application_name=second'"
    both = await asyncio.gather(pool.run(name, ["0.2"], deadline), pool.run(name, ["0.2"], deadline))
    assert sorted(row for rows in both for row in rows) == [("first",), ("second",)]
    await pool.close()


async def test_where_no_more_connections_are_allowed_statements_wait_for_those_that_there_are(
    pool: Pool, database: str, driver: type[Connection], worker_id: str, admin: psycopg.Connection
) -> None:
    role = f"limited_{worker_id}"
    admin.execute(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN CONNECTION LIMIT 2".encode())
    crowded = Pool(make_conninfo(database, user=role), connections=8, prepare=None, driver=driver)
    for _ in range(2):
        results = await asyncio.gather(*(run(crowded, b"SELECT pg_sleep(0.02), 1") for _ in range(6)))
        assert [row[1] for [row] in results] == [1] * 6
    assert crowded.available
    await crowded.close()
    admin.execute(f"DROP ROLE {role}".encode())
