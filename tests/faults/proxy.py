"""TCP proxy in front of PostgreSQL that injects network faults."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class _Connection:
    """A connection of a caller, and the one to the server that it is forwarded to."""

    def __init__(self, caller: asyncio.StreamWriter) -> None:
        self.caller = caller
        self.server: asyncio.StreamWriter | None = None
        self.serving = asyncio.current_task()
        self.dead = False

    @property
    def ends(self) -> list[asyncio.StreamWriter]:
        return [self.caller, self.server] if self.server else [self.caller]


class Proxy:
    """Forwards bytes in both directions. Each direction can be paused: `questions` to the server, `answers` from it.

    While `forwarding` is cleared, new connections are accepted but not forwarded. `swallowed` is set once a paused
    direction has held data back.
    """

    def __init__(self, conninfo: str) -> None:
        parts = conninfo_to_dict(conninfo)
        self._host, self._port = str(parts["host"]), int(parts.get("port") or 5432)
        self._to = {name: str(value) for name, value in parts.items() if name not in ("host", "port")}
        self._open: set[_Connection] = set()
        self._listener: asyncio.Server | None = None
        self._backlog: list[socket.socket] = []
        self.to_server, self.to_client, self.forwarding = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for event in (self.to_server, self.to_client, self.forwarding):
            event.set()
        self.swallowed = asyncio.Event()
        self.delay_seconds = 0.0  # added to each direction
        self.result_to_lose: bytes | None = None  # data from the server that contains this resets the connection
        self.end_to_lose: bytes | None = None  # data that ends with this arrives without it, then the reset
        self.connections = 0
        self.bytes_forwarded = 0  # in both directions
        self.port = 0
        self.conninfo = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = _Connection(writer)
        self._open.add(connection)
        with suppress(OSError, asyncio.CancelledError):
            await self.forwarding.wait()
            from_server, to_server = await self._connect()
            connection.server = to_server
            await asyncio.gather(
                self._forward(reader, to_server, self.to_server, connection),
                self._forward(from_server, writer, self.to_client, connection),
            )
        self._reset(connection)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        return await asyncio.open_connection(self._host, self._port)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        gate: asyncio.Event,
        connection: _Connection,
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                self.bytes_forwarded += len(data)
                if gate is self.to_client and self.result_to_lose is not None and self.result_to_lose in data:
                    self.result_to_lose = None
                    self._reset(connection)
                if gate is self.to_client and self.end_to_lose is not None and data.endswith(self.end_to_lose):
                    writer.write(data.removesuffix(self.end_to_lose))
                    self.end_to_lose = None
                    await writer.drain()
                    self._reset(connection)
                if not gate.is_set():
                    self.swallowed.set()
                    await gate.wait()
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                if not connection.dead:
                    writer.write(data)
                    await writer.drain()
        if connection.dead:
            await asyncio.Event().wait()
        writer.close()

    def _reset(self, connection: _Connection) -> None:
        self._open.discard(connection)
        for end in connection.ends:
            end.transport.abort()

    def redirect(self, port: int) -> None:
        """Forwards new connections to another server."""
        self._port = port

    def cut(self) -> None:
        """Resets every connection."""
        for connection in [*self._open]:
            self._reset(connection)

    def close_connections(self) -> None:
        """Closes every connection in an orderly way, with FIN."""
        for connection in [*self._open]:
            for end in connection.ends:
                end.close()

    def forget(self) -> None:
        """Keeps every connection open but never forwards anything on it again: a silently dead network path."""
        for connection in self._open:
            connection.dead = True

    def refuse(self) -> None:
        """Resets every connection and stops listening, so that new connections are refused."""
        assert self._listener is not None
        self._listener.close()
        self.cut()

    def black_hole(self) -> None:
        """Drops everything silently: open connections are dead, and the kernel does not respond to new ones."""
        self.forget()
        assert self._listener is not None
        self._listener.close()
        hole = socket.create_server(("127.0.0.1", self.port), backlog=0)
        self._backlog = [hole]
        for _ in range(4):  # fills the accept queue; once it is full, the kernel drops further packets
            pending = socket.socket()
            pending.setblocking(False)
            pending.connect_ex(("127.0.0.1", self.port))
            self._backlog.append(pending)

    async def listen(self) -> None:
        """Starts to listen, or resumes on the same port."""
        self._empty_backlog()
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        options = {"host": "127.0.0.1", "port": str(self.port), "sslmode": "disable", "gssencmode": "disable"}
        self.conninfo = make_conninfo("", **{**self._to, **options})

    async def close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        serving = [connection.serving for connection in self._open if connection.serving]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)
        self._empty_backlog()

    def _empty_backlog(self) -> None:
        for pending in self._backlog:
            pending.close()
        self._backlog = []


@asynccontextmanager
async def proxy(conninfo: str) -> AsyncIterator[Proxy]:
    between = Proxy(conninfo)
    await between.listen()
    try:
        yield between
    finally:
        await between.close()
