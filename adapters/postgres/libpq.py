"""Executes statements with libpq itself, in a third of the time that psycopg's `execute` takes.

psycopg registers the socket with the event loop at each wait, and passes a lock, a cursor and generators. Here the
socket stays registered; sending is one call, receiving another. psycopg still connects, cancels, and converts rows. To
remove it, delete this file and let the pool open a `Connection`.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache, partial
from hashlib import blake2b
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

from adapters.postgres.connection import Connection, Rows, StatementFailed


class LibpqConnection(Connection):
    def __init__(self, driver: psycopg.AsyncConnection[Any], cancel_timeout: float) -> None:
        super().__init__(driver, cancel_timeout)
        self._libpq = driver.pgconn
        self._rows = Transformer(driver)
        self._seen: set[bytes] = set()
        self._prepared: set[bytes] = set()
        self._waiter: asyncio.Future[PGresult | None] | None = None
        self._result: PGresult | None = None
        self._output_waits = False
        self._socket = driver.fileno()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._continue)
        self._registered = True

    def close(self) -> None:
        """A statement in flight fails: it may have been executed."""
        if self._registered:  # once it is closed, its number may be another socket's
            self._registered = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        super().close()
        self._finish(self._result if self._result and _failed(self._result) else None)

    async def _execute(self, query: bytes, values: Sequence[str], prepare: bool) -> Rows:
        parameters = [value.encode() for value in values]
        if prepare and query in self._seen:
            name = _name(query)
            if query not in self._prepared:
                await self._send(partial(self._libpq.send_prepare, name, query))
                self._prepared.add(query)
            result = await self._send(partial(self._libpq.send_query_prepared, name, parameters))
        else:
            self._seen.add(query)
            result = await self._send(partial(self._libpq.send_query_params, query, parameters))
        self._rows.set_pgresult(result)
        rows = self._rows.load_rows(0, result.ntuples, tuple)
        self._rows.set_pgresult(None)
        self._result = None
        return rows

    async def _send(self, message: Callable[[], None]) -> PGresult:
        """The server's response."""
        self._result, self._waiter = None, self._loop.create_future()
        try:
            message()
            self._flush()
        except psycopg.OperationalError:
            self.close()
        try:
            result = await self._waiter
        except asyncio.CancelledError:
            if self._waiter is None:  # the response has arrived, or the connection is closed
                raise
            self._expire()
            self._waiter = self._loop.create_future()
            await self._waiter  # until the server confirms, or the socket is shut down
            raise
        if result is None or _failed(result):
            sqlstate = result and result.error_field(DiagnosticField.SQLSTATE)
            raise StatementFailed(sqlstate.decode() if sqlstate else None)
        return result

    def _flush(self) -> None:
        """Sends as much as the socket takes, and the rest when it takes more."""
        waits = bool(self._libpq.flush())
        if waits and not self._output_waits:
            self._loop.add_writer(self._socket, self._continue)
        elif self._output_waits and not waits:
            self._loop.remove_writer(self._socket)
        self._output_waits = waits

    def _continue(self) -> None:
        """Called when the socket can be read, or written if output waits."""
        if not self._waiter:
            self.close()  # an idle connection gets nothing but the server's last message
            return
        try:
            self._libpq.consume_input()
            if self._output_waits:
                self._flush()
            if not self._complete():
                return
        except psycopg.OperationalError:
            self.close()
        if self._libpq.status == ConnStatus.OK:
            self._finish(self._result)
        else:  # libpq has closed the socket
            self.close()

    def _complete(self) -> bool:
        """Whether the whole response has arrived."""
        while not self._libpq.is_busy():
            result = self._libpq.get_result()
            if result is None:
                return True
            if not (self._result and _failed(self._result)):  # a commit may fail after the rows have arrived
                self._result = result
        return False

    def _finish(self, result: PGresult | None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter and not waiter.done():
            waiter.set_result(result)


def _failed(result: PGresult) -> bool:
    return result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


@cache
def _name(query: bytes) -> bytes:
    """The same for the same SQL only. Behind a pooler that shares sessions and knows no prepared statements, psycopg's
    `_pg3_0` can be the name of another process's statement, which would be executed instead."""
    return b"todo_" + blake2b(query, digest_size=12).hexdigest().encode()
