"""The way to PostgreSQL: the pool of connections, and what a failure means."""

import asyncio
import os
import random
import select
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from sqlalchemy import Executable, Row, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from adapters.database_url import CONNECT_SECONDS, is_pooled
from domain.errors import StorageUnavailable

BUDGET_SECONDS = 4.5  # that a call may take in all: waiting for a connection, connecting, running
CANCEL_SECONDS = 0.3  # beyond it, to cancel a statement, and as long again for the server to say so
CONNECT_AGAIN_SECONDS = 1.5  # that connecting is tried again: a compute that wakes, a server that restarts

# SQLSTATEs, and classes of them, by what is known of the statement.
UNDONE = {"40001", "40P01"}  # serialization failure, deadlock: rolled back, so it may be sent again
PASSING = {
    "08",
    "53",
    "57",
    "58",
    "25006",
    "55P03",
}  # connection, resources, operator, system, read-only, lock: not done
CUT_OFF = {"57P01", "57P02", "57P03"}  # the server went away: with a standby to wait for, perhaps after the commit


class OutcomeUnknown(Exception):
    """The statement was sent, and the connection was lost before its answer came."""


def open_pool(conninfo: str, *, connections: int, prepare: bool | None) -> AsyncEngine:
    """An engine that connects on demand, at most `connections` times, and commits every statement by itself.

    `prepare`: use server-side prepared statements. None: unless the host is one of Neon's poolers, because a PgBouncer
    in transaction mode may know none.
    """
    if prepare is None:
        prepare = not is_pooled(conninfo)
    threshold = 5 if prepare else None  # executions after which a statement is prepared

    async def connect() -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(
            conninfo,
            autocommit=True,
            prepare_threshold=threshold,
            connect_timeout=CONNECT_SECONDS,
            client_encoding="utf8",
        )
        if not (connection.info.parameter_status("DateStyle") or "").startswith("ISO"):
            await connection.execute("SET datestyle = 'ISO'")  # the only one that psycopg reads
        return connection

    engine = create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        isolation_level="AUTOCOMMIT",
        pool_size=connections,
        max_overflow=0,
        pool_timeout=BUDGET_SECONDS,
        pool_reset_on_return=None,  # nothing to roll back: no transaction outlives its statement
        hide_parameters=True,  # or an error would carry a task's text into the log
    )
    event.listen(engine.sync_engine, "checkout", _refuse_if_dead)
    return engine


def _refuse_if_dead(connection: Any, *_: object) -> None:
    """Makes the pool connect anew where the server has hung up, without a round trip to ask.

    An idle connection has nothing to read. If it has, the server said goodbye or closed the connection.
    """
    waiting = select.poll()
    waiting.register(connection.driver_connection.fileno(), select.POLLIN)
    if waiting.poll(0):
        raise DisconnectionError


def deadline() -> float:
    """Until when, by the event loop's clock, a call that begins now may wait, connect and run."""
    return asyncio.get_running_loop().time() + BUDGET_SECONDS


async def run(
    engine: AsyncEngine, statement: Executable, values: Mapping[str, object], until: float
) -> Sequence[Row[Any]]:
    """The rows of one statement, committed, before the deadline.

    Raises StorageUnavailable where the statement was not carried out, and OutcomeUnknown where it may have been.
    Anything else that PostgreSQL objects to is a defect, reported by its SQLSTATE only: its text may quote a task.
    """
    while True:
        connection = await _connection(engine, until)
        limit = _Limit(connection, until)
        try:
            return (await connection.execute(statement, values)).all()
        except DBAPIError as failure:
            sqlstate = getattr(failure.orig, "sqlstate", None)
            if sqlstate in UNDONE and not _is_over(until):
                await asyncio.sleep(_moment())
                continue
            meaning = _meaning(failure, sqlstate)
            raise meaning from (None if isinstance(meaning, RuntimeError) else failure)
        finally:
            await limit.lift()
            await connection.close()


async def _connection(engine: AsyncEngine, until: float) -> AsyncConnection:
    """One that works as far as can be seen. A server that is not there yet is tried again for a while."""
    loop = asyncio.get_running_loop()
    give_up = min(loop.time() + CONNECT_AGAIN_SECONDS, until)
    while True:
        try:
            async with asyncio.timeout_at(until):
                return await engine.connect()
        except (TimeoutError, NoFreeConnection) as failure:
            raise StorageUnavailable from failure
        except DBAPIError as failure:
            if loop.time() >= give_up:
                raise StorageUnavailable from failure
        await asyncio.sleep(_moment())


def _meaning(failure: DBAPIError, sqlstate: str | None) -> Exception:
    if isinstance(failure, InterfaceError) or sqlstate is None or sqlstate in CUT_OFF:
        return OutcomeUnknown()
    if sqlstate[:2] in PASSING or sqlstate in PASSING or sqlstate in UNDONE:
        return StorageUnavailable()
    return RuntimeError(f"PostgreSQL refused a statement: SQLSTATE {sqlstate}")


class _Limit:
    """Ends a statement at the deadline: asks the server to cancel it, and hangs up where nothing comes of that.

    Cancelling the coroutine instead would wait for the server, and on a dead network that takes long. Hanging up alone
    would leave a statement that waits for a lock to be carried out later.
    """

    def __init__(self, connection: AsyncConnection, until: float) -> None:
        self._connection = connection
        self._timer = asyncio.get_running_loop().call_at(until, self._begin)
        self._ending: asyncio.Task[None] | None = None

    async def lift(self) -> None:
        """After the statement. A connection that was to be cancelled is given up: the next statement might be hit."""
        self._timer.cancel()
        if self._ending is not None:
            self._ending.cancel()
            await self._connection.invalidate()

    def _begin(self) -> None:
        self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        driver: Any = self._connection.sync_connection and self._connection.sync_connection.connection.driver_connection
        if driver is None or driver.closed:
            return
        with suppress(psycopg.Error):
            await driver.cancel_safe(timeout=CANCEL_SECONDS)
            await asyncio.sleep(CANCEL_SECONDS)
        with socket.socket(fileno=os.dup(driver.fileno())) as end, suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _is_over(until: float) -> bool:
    return asyncio.get_running_loop().time() >= until


def _moment() -> float:
    """Seconds until another try: a little different for everybody who waits for the same thing."""
    return random.uniform(0.03, 0.1)


async def ping(engine: AsyncEngine) -> None:
    """Returns if the database answers and holds our table. Raises StorageUnavailable."""
    try:
        [[migrated]] = await run(engine, text("SELECT to_regclass('tasks') IS NOT NULL"), {}, deadline())
    except OutcomeUnknown:
        raise StorageUnavailable from None
    if not migrated:
        raise StorageUnavailable
