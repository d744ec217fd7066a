"""One connection to PostgreSQL, through psycopg: executes one statement at a time, and ends it at its deadline."""

import asyncio
import os
import select
import socket
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

import psycopg

from adapters.postgres.url import CONNECT_SECONDS

Rows = Sequence[tuple[Any, ...]]


class StatementFailed(Exception):
    """PostgreSQL rejected the statement. Without an SQLSTATE the connection was lost, and it may have been executed."""

    def __init__(self, sqlstate: str | None) -> None:
        self.sqlstate = sqlstate


class Connection:
    """Every statement is a transaction of its own."""

    def __init__(self, driver: psycopg.AsyncConnection[Any], cancel_timeout: float) -> None:
        self._driver = driver
        self._cancel_timeout = cancel_timeout
        self._cancelling: asyncio.Task[None] | None = None
        self._readable = select.poll()
        self._readable.register(driver.fileno(), select.POLLIN)

    @classmethod
    async def open(cls, conninfo: str, cancel_timeout: float) -> Self:
        """`cancel_timeout`: seconds for cancelling a statement, and as many again for the server to confirm it, before
        the connection is closed. Raises psycopg.Error."""
        try:
            driver = await psycopg.AsyncConnection.connect(
                conninfo,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                client_encoding="utf8",
                cursor_factory=psycopg.AsyncRawCursor,  # parameters are $1, $2, ...
            )
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they would keep the socket open until they are collected
            raise
        if not (driver.info.parameter_status("DateStyle") or "").startswith("ISO"):
            await driver.execute("SET datestyle = 'ISO'")  # the only one that psycopg reads
        if driver.info.parameter_status("TimeZone") != "UTC":
            await driver.execute("SET timezone = 'UTC'")  # psycopg returns times in the session's time zone
        return cls(driver, cancel_timeout)

    @property
    def expired(self) -> bool:
        """Whether a deadline has passed. A commit that is cancelled while it waits for a standby reports success."""
        return self._cancelling is not None

    @property
    def broken(self) -> bool:
        """Whether it cannot be used again. After a deadline it is not: the request to cancel might hit the next
        statement."""
        return self.expired or self._driver.closed

    @property
    def usable(self) -> bool:
        """Whether the connection can execute a statement, as far as can be told without a round trip.

        An idle connection has nothing to read, unless the server has sent a last message or closed it.
        """
        return not (self.broken or self._readable.poll(0))

    async def execute(self, query: bytes, values: Sequence[str], deadline: float, *, prepare: bool) -> Rows:
        """The rows of a statement, committed. `prepare`: on the server, once it has been executed a few times (five
        by psycopg's default, one in `LibpqConnection`).

        At the deadline the server is asked to cancel it, and the connection is closed if that has no effect. Cancelling
        the coroutine instead would wait for the server, which takes long on a dead network. Only closing the connection
        would leave a statement that waits for a lock to be executed later. Raises StatementFailed.
        """
        timer = asyncio.get_running_loop().call_at(deadline, self._expire)
        try:
            return await self._execute(query, values, prepare)
        finally:
            timer.cancel()
            if self._cancelling:
                self._cancelling.cancel()

    def close(self) -> None:
        self._driver.pgconn.finish()

    async def _execute(self, query: bytes, values: Sequence[str], prepare: bool) -> Rows:
        try:
            cursor = await self._driver.execute(query, values, prepare=None if prepare else False)
            return await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise StatementFailed(error.sqlstate) from None

    def _expire(self) -> None:
        if not self._cancelling:
            self._cancelling = asyncio.create_task(self._cancel())
            self._cancelling.add_done_callback(self._disconnect)

    async def _cancel(self) -> None:
        with suppress(psycopg.Error):
            await self._driver.cancel_safe(timeout=self._cancel_timeout)
            await asyncio.sleep(self._cancel_timeout)

    def _disconnect(self, _: asyncio.Task[None]) -> None:
        """Also if cancelling is itself cancelled, as all tasks are when the process ends: the statement, which waits
        for the server even then, would never end."""
        if not self._driver.closed:
            with socket.socket(fileno=os.dup(self._driver.fileno())) as end, suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
