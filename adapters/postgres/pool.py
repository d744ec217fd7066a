"""The way to PostgreSQL: the pool of connections, and what a failure means."""

import asyncio
import os
import random
import select
import socket
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import psycopg
import structlog
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from adapters.postgres.url import CONNECT_SECONDS, is_pooled
from domain.errors import StorageUnavailable

_log = structlog.get_logger()

BUDGET_SECONDS = 4.5  # that a call may take in all: waiting for a connection, connecting, running
ATTEMPT_SECONDS = 1.5  # of it, that a statement may run before it is given up, and sent again if that does no harm
CANCEL_SECONDS = 0.3  # beyond it, to cancel a statement, and as long again for the server to say so
CONNECT_AGAIN_SECONDS = 1.5  # that connecting is tried again: a compute that wakes, a server that restarts
CONNECT_BESIDE_SECONDS = 1.2  # after which another attempt is made beside one that hangs: its network may be dead
READY_SECONDS = 1.0  # in which a database that is ready says so
QUIET_SECONDS = 1.0  # without a failure, after which the database counts as back

# SQLSTATEs, and classes of them, by what is known of the statement.
CANCELED = "57014"
UNDONE = {"40001", "40P01"}  # serialization failure, deadlock: rolled back, so it may be sent again
PASSING = {  # not done
    "08",  # connection
    "53",  # resources
    "57",  # operator
    "58",  # system
    "25006",  # read-only
    "55P03",  # lock
}
CUT_OFF = {"57P01", "57P02", "57P03"}  # the server went away: with a standby to wait for, perhaps after the commit


class OutcomeUnknown(Exception):
    """The statement was sent, and the connection was lost before its answer came."""


class Pool:
    """Connections to one database, at most `connections`, made on demand; each statement commits by itself.

    `prepare`: use server-side prepared statements. None: unless the host is one of Neon's poolers, because a PgBouncer
    in transaction mode may know none.
    """

    def __init__(self, conninfo: str, *, connections: int, prepare: bool | None) -> None:
        self._conninfo = conninfo
        self._prepare_threshold = 5 if (not is_pooled(conninfo) if prepare is None else prepare) else None
        self._state = _State()
        self._refused_since: float | None = None
        self.waiting = 0
        """Statements that have no connection yet."""
        self.engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=self._connect,
            isolation_level="AUTOCOMMIT",
            pool_size=connections,
            max_overflow=0,
            pool_timeout=BUDGET_SECONDS,
            pool_reset_on_return=None,  # nothing to roll back: no transaction outlives its statement
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_if_dead)

    async def run(self, statement: bytes, values: Mapping[str, object], until: float) -> Sequence[tuple[Any, ...]]:
        """The rows of one statement, committed, before the deadline.

        Raises StorageUnavailable where the statement was not carried out, and OutcomeUnknown where it may have been.
        Anything else that PostgreSQL objects to is a defect, reported by its SQLSTATE only: its text may quote a task.
        """
        while True:
            self.waiting += 1
            try:
                connection = await self._connection(until)
            finally:
                self.waiting -= 1
            limit = _Limit(connection, min(until, _time() + ATTEMPT_SECONDS))
            try:
                cursor = await limit.driver.execute(statement, values)
                rows = await cursor.fetchall()
                if limit.passed:  # cancelled while it waited for a standby, a commit claims to be done
                    self._state.failed("not confirmed in time")
                    raise OutcomeUnknown
            except psycopg.Error as failure:
                undone = failure.sqlstate in UNDONE or (failure.sqlstate == CANCELED and limit.passed)
                if not undone or _time() >= until:
                    raise self._meaning(failure.sqlstate) from None
            else:
                self._state.answered()
                return rows
            finally:
                await limit.lift()
                await connection.close()
            await asyncio.sleep(_moment())

    @property
    def available(self) -> bool:
        """Not from a failure on until statements have been answered for a while without another."""
        return self._state.available

    @property
    def failures(self) -> int:
        """Statements since the start that the database did not answer, or answered that it cannot."""
        return self._state.failures_ever

    async def ping(self) -> None:
        """Returns if the database answers within READY_SECONDS, and holds our table. Raises StorageUnavailable, after
        twice that at most."""
        try:
            [[migrated]] = await self.run(b"SELECT to_regclass('tasks') IS NOT NULL", {}, _time() + READY_SECONDS)
        except OutcomeUnknown:
            raise StorageUnavailable from None
        if not migrated:
            raise StorageUnavailable

    async def close(self) -> None:
        await self.engine.dispose()

    async def _connection(self, until: float) -> AsyncConnection:
        """One that works as far as can be seen. A server that is not there yet is tried again for a while, which is
        counted from the first refusal: whoever comes after it is told at once."""
        while True:
            try:
                async with asyncio.timeout_at(until):
                    connection = await self.engine.connect()
            except (TimeoutError, NoFreeConnection):
                self._state.failed("no connection in time")
                raise StorageUnavailable from None
            except DBAPIError as failure:
                self._refused_since = self._refused_since or _time()
                if _time() >= min(self._refused_since + CONNECT_AGAIN_SECONDS, until):
                    self._state.failed(f"{type(failure.orig).__name__} on connecting")
                    raise StorageUnavailable from None
            else:
                self._refused_since = None
                return connection
            await asyncio.sleep(_moment())

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        """The first of several attempts that succeeds: one begins whenever the last one is silent for too long, and
        takes the place of the one before that."""
        attempts: list[asyncio.Task[psycopg.AsyncConnection[Any]]] = []
        try:
            while True:
                attempts.append(asyncio.create_task(self._attempt()))
                finished, _ = await asyncio.wait(
                    attempts, timeout=CONNECT_BESIDE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                made = [attempt.result() for attempt in finished if not attempt.exception()]
                for spare in made[1:]:
                    await spare.close()
                if finished:
                    return made[0] if made else finished.pop().result()
                for silent in attempts[:-1]:
                    silent.cancel()
                    attempts.remove(silent)
        finally:
            for attempt in attempts:
                attempt.cancel()

    async def _attempt(self) -> psycopg.AsyncConnection[Any]:
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._conninfo,
                autocommit=True,
                prepare_threshold=self._prepare_threshold,  # executions after which a statement is prepared
                connect_timeout=CONNECT_SECONDS,
                client_encoding="utf8",
            )
        except BaseException as failure:
            traceback.clear_frames(failure.__traceback__)  # which would keep the socket until they are collected
            raise
        if not (connection.info.parameter_status("DateStyle") or "").startswith("ISO"):
            await connection.execute("SET datestyle = 'ISO'")  # the only one that psycopg reads
        if connection.info.parameter_status("TimeZone") != "UTC":
            await connection.execute("SET timezone = 'UTC'")  # psycopg gives times in the session's
        return connection

    def _meaning(self, sqlstate: str | None) -> Exception:
        if sqlstate is None or sqlstate in CUT_OFF:
            self._state.failed(f"SQLSTATE {sqlstate}" if sqlstate else "connection lost")
            return OutcomeUnknown()
        if sqlstate[:2] in PASSING or sqlstate in PASSING or sqlstate in UNDONE:
            self._state.failed(f"SQLSTATE {sqlstate}")
            return StorageUnavailable()
        return RuntimeError(f"PostgreSQL refused a statement: SQLSTATE {sqlstate}")


def _refuse_if_dead(connection: Any, *_: object) -> None:
    """Makes the pool connect anew where the server has hung up, without a round trip to ask.

    An idle connection has nothing to read. If it has, the server said goodbye or closed the connection.
    """
    waiting = select.poll()
    waiting.register(connection.driver_connection.fileno(), select.POLLIN)
    if waiting.poll(0):
        raise DisconnectionError


def _driver(connection: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    """What runs our statements: SQLAlchemy makes them and keeps the connections, and need not stand between."""
    assert connection.sync_connection is not None
    driver: Any = connection.sync_connection.connection.driver_connection
    return driver  # type: ignore[no-any-return]


def deadline() -> float:
    """Until when, by the event loop's clock, a call that begins now may wait, connect and run."""
    return _time() + BUDGET_SECONDS


def _time() -> float:
    return asyncio.get_running_loop().time()


class _Limit:
    """Ends a statement at the deadline: asks the server to cancel it, and hangs up where nothing comes of that.

    Cancelling the coroutine instead would wait for the server, and on a dead network that takes long. Hanging up alone
    would leave a statement that waits for a lock to be carried out later.
    """

    def __init__(self, connection: AsyncConnection, until: float) -> None:
        self._connection = connection
        self.driver = _driver(connection)
        self._timer = asyncio.get_running_loop().call_at(until, self._begin)
        self._ending: asyncio.Task[None] | None = None

    @property
    def passed(self) -> bool:
        return self._ending is not None

    async def lift(self) -> None:
        """After the statement. A connection that was to be cancelled is given up: the next statement might be hit."""
        self._timer.cancel()
        if self._ending is not None:
            self._ending.cancel()
        if self._ending is not None or self.driver.closed:
            await self._connection.invalidate()

    def _begin(self) -> None:
        self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        if self.driver.closed:
            return
        with suppress(psycopg.Error):
            await self.driver.cancel_safe(timeout=CANCEL_SECONDS)
            await asyncio.sleep(CANCEL_SECONDS)
        with socket.socket(fileno=os.dup(self.driver.fileno())) as end, suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _moment() -> float:
    """Seconds until another try: a little different for everybody who waits for the same thing."""
    return random.uniform(0.03, 0.1)


class _State:
    """Writes down when the database goes away and when it is back: one line each, however many calls failed."""

    def __init__(self) -> None:
        self.failures_ever = 0
        self._failures = 0
        self._since = self._last = 0.0

    @property
    def available(self) -> bool:
        return not self._failures

    def failed(self, cause: str) -> None:
        self.failures_ever += 1
        self._last = _time()
        if not self._failures:
            self._since = self._last
            _log.warning("database unavailable", cause=cause)
        self._failures += 1

    def answered(self) -> None:
        if self._failures and _time() - self._last >= QUIET_SECONDS:
            seconds = round(self._last - self._since, 1)
            _log.warning("database available", failures=self._failures, seconds=seconds)
            self._failures = 0
