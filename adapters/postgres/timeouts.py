"""Timeouts of calls and statements, and how a statement is ended when its time is up."""

import asyncio
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True)
class Timeouts:
    """In seconds."""

    call: float = 4.5
    """Budget of one call: waiting for a connection, connecting, executing, retrying."""
    attempt: float = 1.5
    """Execution of a statement, after which it is cancelled and, where that is harmless, sent again."""
    cancel: float = 0.3
    """Cancelling a statement, and as long again for the server to confirm it, before the connection is closed."""
    connect: float = 1.5
    """Retrying to connect, counted from the first refusal: a compute wakes up, a server restarts."""
    hedge: float = 1.2
    """A silent attempt to connect, after which another one is made beside it: the network may have dropped it."""
    ready: float = 1.0
    """The readiness check."""
    recovery: float = 1.0
    """Without a failure, after which the database counts as available again when a statement succeeds."""
    expiry: float = 60.0
    """Without any statement after a failure, after which the database no longer counts as unavailable."""
    slow_statement: float = 0.005
    """Execution of a statement, after which it no longer holds up the next batch."""


DEFAULTS = Timeouts()


class StatementTimeout:
    """Ends a statement at the deadline: asks the server to cancel it, and closes the connection if that has no effect.

    Cancelling the coroutine instead would wait for the server, which takes long on a dead network. Only closing the
    connection would leave a statement that waits for a lock to be executed later.
    """

    def __init__(self, connection: AsyncConnection, deadline: float, cancel_timeout: float) -> None:
        assert connection.sync_connection is not None
        self.driver: psycopg.AsyncConnection[Any] = connection.sync_connection.connection.driver_connection  # type: ignore[assignment]
        self._connection = connection
        self._cancel_timeout = cancel_timeout
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)
        self._cancelling: asyncio.Task[None] | None = None

    @property
    def expired(self) -> bool:
        return self._cancelling is not None

    async def end(self) -> None:
        """After the statement. A connection that is being cancelled is closed: the next statement might be hit."""
        self._timer.cancel()
        if self._cancelling is not None:
            self._cancelling.cancel()
        if self._cancelling is not None or self.driver.closed:
            await self._connection.invalidate()

    def _expire(self) -> None:
        self._cancelling = asyncio.create_task(self._cancel())

    async def _cancel(self) -> None:
        if self.driver.closed:
            return
        with suppress(psycopg.Error):
            await self.driver.cancel_safe(timeout=self._cancel_timeout)
            await asyncio.sleep(self._cancel_timeout)
        with socket.socket(fileno=os.dup(self.driver.fileno())) as end, suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
