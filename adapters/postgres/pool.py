"""Connection pool for PostgreSQL. Every statement has a deadline, and commits by itself."""

import asyncio
import random
import select
import traceback
from collections.abc import Sequence
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from adapters.postgres.failures import QUERY_CANCELED, Health, OutcomeUnknown, classify, first_line, is_rolled_back
from adapters.postgres.timeouts import DEFAULTS, StatementTimeout, Timeouts
from adapters.postgres.url import CONNECT_SECONDS, is_pooled
from domain.errors import StorageUnavailable


class Pool:
    """Connections to one database, at most `connections`, opened on demand.

    `prepare`: use server-side prepared statements. None: unless the host is one of Neon's poolers, because PgBouncer in
    transaction mode may not support them.
    """

    def __init__(self, conninfo: str, *, connections: int, prepare: bool | None, timeouts: Timeouts = DEFAULTS) -> None:
        self.timeouts = timeouts
        self._conninfo = conninfo
        self._prepare_threshold = 5 if (not is_pooled(conninfo) if prepare is None else prepare) else None
        self._health = Health(timeouts.recovery, timeouts.expiry)
        self._refused_since: float | None = None
        self._slots = asyncio.Semaphore(connections)
        self.refusal: str | None = None
        """Why the last attempt to connect failed, in the words of the server or libpq; None after a success."""
        self.waiting = 0
        """Statements that wait for a connection."""
        self.engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=self._connect,
            isolation_level="AUTOCOMMIT",
            pool_size=connections,
            max_overflow=0,
            pool_timeout=timeouts.call,
            pool_reset_on_return=None,  # nothing to roll back: no transaction outlives its statement
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_if_dead)

    async def run(self, query: bytes, values: Sequence[str], deadline: float) -> Sequence[tuple[Any, ...]]:
        """The rows of one statement, committed, before the deadline.

        Raises StorageUnavailable where the statement was not executed, and OutcomeUnknown where it may have been. A
        statement that PostgreSQL rejects for another reason is a bug and raises RuntimeError.
        """
        if self._slots.locked():
            await self._wait_for_slot(deadline)
        else:
            await self._slots.acquire()  # at once
        try:
            while True:
                self.waiting += 1
                try:
                    connection = await self._connection(deadline)
                finally:
                    self.waiting -= 1
                timeout = StatementTimeout(
                    connection, min(deadline, _time() + self.timeouts.attempt), self.timeouts.cancel
                )
                try:
                    cursor = await timeout.driver.execute(query, values)
                    rows = await cursor.fetchall()
                    if timeout.expired:  # a commit that is cancelled while it waits for a standby reports success
                        self._health.failed("not confirmed in time")
                        raise OutcomeUnknown
                except psycopg.Error as error:
                    cancelled = error.sqlstate == QUERY_CANCELED and timeout.expired
                    if not (cancelled or is_rolled_back(error.sqlstate)) or _time() >= deadline:
                        raise self._failure(error.sqlstate) from None
                else:
                    self._health.succeeded()
                    return rows
                finally:
                    await timeout.end()
                    await connection.close()
                await asyncio.sleep(_retry_delay())
        finally:
            self._slots.release()

    @property
    def available(self) -> bool:
        """False from a failure until a statement succeeds, a while after the last failure."""
        return self._health.available

    @property
    def failures(self) -> int:
        """Statements since the start that failed because of the database or the connection."""
        return self._health.failures

    async def close(self) -> None:
        await self.engine.dispose()

    async def _wait_for_slot(self, deadline: float) -> None:
        """First come, first served. SQLAlchemy's pool would give a free connection to the statement that runs next, and
        under load those that wait for one might never get it."""
        self.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        except TimeoutError:
            self._health.failed("no connection in time")
            raise StorageUnavailable from None
        finally:
            self.waiting -= 1

    async def _connection(self, deadline: float) -> AsyncConnection:
        """A connection that shows no sign of being dead. Where the server refuses, connecting is retried with jitter,
        for all callers until the same moment: a call that comes later fails at once."""
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    connection = await self.engine.connect()
            except (TimeoutError, NoFreeConnection):
                self._health.failed(self.refusal or "no connection in time")
                raise StorageUnavailable from None
            except DBAPIError as error:
                self._refused_since = self._refused_since or _time()
                self.refusal = first_line(error.orig) if isinstance(error.orig, psycopg.Error) else None
                if _time() >= min(self._refused_since + self.timeouts.connect, deadline):
                    self._health.failed(self.refusal or f"{type(error.orig).__name__} on connecting")
                    raise StorageUnavailable from None
            else:
                self._refused_since = self.refusal = None
                return connection
            await asyncio.sleep(_retry_delay())

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        """The first successful one of hedged attempts: another begins whenever the last has been silent for too long,
        and the one before that is given up."""
        attempts: list[asyncio.Task[psycopg.AsyncConnection[Any]]] = []
        try:
            while True:
                attempts.append(asyncio.create_task(self._attempt()))
                finished, _ = await asyncio.wait(
                    attempts, timeout=self.timeouts.hedge, return_when=asyncio.FIRST_COMPLETED
                )
                connected = [attempt.result() for attempt in finished if not attempt.exception()]
                for spare in connected[1:]:
                    await spare.close()
                if finished:
                    return connected[0] if connected else finished.pop().result()
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
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they would keep the socket open until they are collected
            raise
        if not (connection.info.parameter_status("DateStyle") or "").startswith("ISO"):
            await connection.execute("SET datestyle = 'ISO'")  # the only one that psycopg reads
        if connection.info.parameter_status("TimeZone") != "UTC":
            await connection.execute("SET timezone = 'UTC'")  # psycopg returns times in the session's time zone
        return connection

    def _failure(self, sqlstate: str | None) -> Exception:
        failure = classify(sqlstate)
        if isinstance(failure, (OutcomeUnknown, StorageUnavailable)):
            self._health.failed(f"SQLSTATE {sqlstate}" if sqlstate else "connection lost")
        return failure


def _refuse_if_dead(connection: Any, *_: object) -> None:
    """Makes the pool reconnect where the server has closed the connection, without a round trip.

    An idle connection has nothing to read, unless the server has sent a last message or closed it.
    """
    poll = select.poll()
    poll.register(connection.driver_connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError


def _time() -> float:
    return asyncio.get_running_loop().time()


def _retry_delay() -> float:
    """Seconds before a retry, with jitter: callers that failed together do not retry together."""
    return random.uniform(0.03, 0.1)
