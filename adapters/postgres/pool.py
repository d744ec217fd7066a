"""Connection pool for PostgreSQL. Every statement has a deadline, and commits by itself."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Literal

import psycopg
import structlog

from adapters.postgres import hedging
from adapters.postgres.connection import Connection, Rows, StatementFailed
from adapters.postgres.failures import (
    QUERY_CANCELED,
    STALE_PLAN,
    UNPREPARED,
    Health,
    OutcomeUnknown,
    StatementRefused,
    classify,
    first_line,
    is_rolled_back,
)
from adapters.postgres.libpq import LibpqConnection
from adapters.postgres.timeouts import DEFAULTS, Timeouts
from adapters.postgres.url import is_pooled
from domain.errors import StorageUnavailable

_log = structlog.get_logger()


class Pool:
    """Connections to one database, at most `connections`, opened on demand.

    `prepare`: use server-side prepared statements. None: unless the host is one of Neon's poolers. A pooler that shares
    sessions without knowing prepared statements is noticed, and they are not used any more. `driver`: what executes
    the statements. `renew`: called in a thread before each connection, for passwords that expire; returns the conninfo.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        connections: int,
        prepare: bool | None,
        timeouts: Timeouts = DEFAULTS,
        driver: type[Connection] = LibpqConnection,
        renew: Callable[[], str] | None = None,
    ) -> None:
        self.timeouts = timeouts
        self.connections = connections
        self._conninfo = conninfo
        self._renew = renew
        self._prepare = not is_pooled(conninfo) if prepare is None else prepare
        self._driver = driver
        self._health = Health(timeouts.recovery, timeouts.expiry)
        self._refused_since: float | None = None
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []
        self._closed = False
        self.refusal: str | None = None
        """Why the last attempt to connect failed, in the words of the server or libpq; None after a success."""
        self.waiting = 0
        """Statements that wait for a connection."""
        self.in_use = 0
        """Connections that execute a statement."""
        self.in_cluster = False
        """Other nodes than the one connected to execute the statements, and may commit what is reported as failed."""

    async def run(self, query: bytes, values: Sequence[str], deadline: float) -> Rows:
        """The rows of one statement, committed, before the deadline. Its parameters are `$1`, `$2`, ...

        Raises StorageUnavailable where the statement was not executed, and OutcomeUnknown where it may have been. A
        statement that PostgreSQL rejects for another reason raises StatementRefused.
        """
        if self._slots.locked():
            await self._wait_for_slot(deadline)
        else:
            await self._slots.acquire()  # at once
        try:
            prepare = self._prepare
            while True:
                connection = self._idle_connection() or await self._connect(deadline)
                self.in_use += 1
                try:
                    end = min(deadline, _time() + self.timeouts.attempt)
                    rows = await connection.execute(query, values, end, prepare=prepare)
                    if connection.expired:  # a commit that is cancelled while it waits for a standby reports success
                        self._health.failed("not confirmed in time")
                        raise OutcomeUnknown
                except StatementFailed as failure:
                    if prepare and failure.sqlstate in UNPREPARED:
                        prepare = self._unprepared(failure.sqlstate, connection)
                        continue
                    cancelled = failure.sqlstate == QUERY_CANCELED and connection.expired and not self.in_cluster
                    rolled_back = cancelled or is_rolled_back(failure.sqlstate, in_cluster=self.in_cluster)
                    if not rolled_back or _time() >= deadline:
                        raise self._failure(failure.sqlstate, connection) from None
                else:
                    self._health.succeeded()
                    return rows
                finally:
                    self.in_use -= 1
                    self._release(connection)
                await asyncio.sleep(_retry_delay())
        finally:
            self._slots.release()

    @property
    def open(self) -> int:
        """Connections open."""
        return self.in_use + len(self._idle)

    @property
    def available(self) -> bool:
        """False from a failure until a statement succeeds, a while after the last failure."""
        return self._health.available

    @property
    def failures(self) -> int:
        """Statements since the start that failed because of the database or the connection."""
        return self._health.failures

    async def close(self) -> None:
        """Closes the connections: those in use after their statement."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def _wait_for_slot(self, deadline: float) -> None:
        """First come, first served."""
        self.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        except TimeoutError:
            self._health.failed("no connection in time")
            raise StorageUnavailable from None
        finally:
            self.waiting -= 1

    def _idle_connection(self) -> Connection | None:
        """The one that was used last: the server's caches are warm, and under little load the others may be closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    def _release(self, connection: Connection) -> None:
        """Its socket is looked at before the next use."""
        if connection.broken or self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    async def _connect(self, deadline: float) -> Connection:
        """A new connection, or one that becomes free meanwhile. Where the server refuses, connecting is retried with
        jitter: until the deadline while others are in use, else for all callers until the same moment, so that a call
        that comes later fails at once."""
        self.waiting += 1
        try:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        connection = await hedging.connect(self._open, self.timeouts.hedge)
                except TimeoutError:
                    self._health.failed(self.refusal or "no connection in time")
                    raise StorageUnavailable from None
                except psycopg.Error as error:
                    if idle := self._idle_connection():  # the server may allow no more than those that are open
                        return idle
                    self._refused_since = self._refused_since or _time()
                    self.refusal = first_line(error)
                    until = deadline if self.in_use else self._refused_since + self.timeouts.connect
                    if _time() >= min(until, deadline):
                        self._health.failed(self.refusal)
                        raise StorageUnavailable from None
                else:
                    self._refused_since = self.refusal = None
                    return connection
                await asyncio.sleep(_retry_delay())
        finally:
            self.waiting -= 1

    async def _open(self) -> Connection:
        conninfo = await asyncio.to_thread(self._renew) if self._renew else self._conninfo
        return await self._driver.open(conninfo, self.timeouts.cancel)

    def _unprepared(self, sqlstate: str | None, connection: Connection) -> Literal[False]:
        """After an error of a prepared statement, before which it was not executed."""
        if sqlstate == STALE_PLAN:
            connection.close()
        elif self._prepare:
            self._prepare = False
            _log.warning("prepared statements switched off", cause=f"SQLSTATE {sqlstate}")
        return False

    def _failure(self, sqlstate: str | None, connection: Connection) -> Exception:
        failure = classify(sqlstate, in_cluster=self.in_cluster)
        if self.in_cluster and isinstance(failure, StatementRefused):
            connection.close()  # Citus would no longer execute functions on the shards' nodes in this session
        if isinstance(failure, (OutcomeUnknown, StorageUnavailable)):
            self._health.failed(f"SQLSTATE {sqlstate}" if sqlstate else "connection lost")
        return failure


def _time() -> float:
    return asyncio.get_running_loop().time()


def _retry_delay() -> float:
    """Seconds before a retry, with jitter: callers that failed together do not retry together."""
    return random.uniform(0.03, 0.1)
