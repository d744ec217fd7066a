"""A way to PostgreSQL that fails when a test wants it to."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class _Link:
    """One connection, from the caller to the server."""

    def __init__(self, caller: asyncio.StreamWriter) -> None:
        self.caller = caller
        self.server: asyncio.StreamWriter | None = None
        self.serving = asyncio.current_task()
        self.dead = False

    @property
    def ends(self) -> list[asyncio.StreamWriter]:
        return [self.caller, self.server] if self.server else [self.caller]


class Proxy:
    """Passes bytes on in both directions, each until it is told not to."""

    def __init__(self, conninfo: str) -> None:
        parts = conninfo_to_dict(conninfo)
        self._host, self._port = str(parts["host"]), int(parts.get("port") or 5432)
        self._to = {name: str(value) for name, value in parts.items() if name not in ("host", "port")}
        self._links: set[_Link] = set()
        self._listener: asyncio.Server | None = None
        self._deaf: list[socket.socket] = []
        self.questions, self.answers, self.speaks = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for passing in (self.questions, self.answers, self.speaks):
            passing.set()
        self.swallowed = asyncio.Event()
        self.delay_seconds = 0.0  # that bytes are under way, in each direction
        self.answer_to_lose: bytes | None = None  # the next that holds these bytes, and its connection
        self.connections = 0
        self.passed = 0  # bytes, in both directions
        self.port = 0
        self.conninfo = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = _Link(writer)
        self._links.add(link)
        with suppress(OSError, asyncio.CancelledError):
            await self.speaks.wait()
            there = await self._connect()
            link.server = there[1]
            await asyncio.gather(
                self._pass(reader, there[1], self.questions, link), self._pass(there[0], writer, self.answers, link)
            )
        self._reset(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        return await asyncio.open_connection(self._host, self._port)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, allowed: asyncio.Event, link: _Link
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                self.passed += len(data)
                if allowed is self.answers and self.answer_to_lose is not None and self.answer_to_lose in data:
                    self.answer_to_lose = None
                    self._reset(link)
                if not allowed.is_set():
                    self.swallowed.set()
                    await allowed.wait()
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                if not link.dead:
                    writer.write(data)
                    await writer.drain()
        if link.dead:
            await asyncio.Event().wait()
        writer.close()

    def _reset(self, link: _Link) -> None:
        self._links.discard(link)
        for end in link.ends:
            end.transport.abort()

    def lead_to(self, port: int) -> None:
        """Whoever connects from now on is led to another server."""
        self._port = port

    def cut(self) -> None:
        """Resets every connection."""
        for link in [*self._links]:
            self._reset(link)

    def hang_up(self) -> None:
        """Ends every connection in the orderly way, by FIN."""
        for link in [*self._links]:
            for end in link.ends:
                end.close()

    def forget(self) -> None:
        """Leaves every connection standing as it is, and passes nothing on ever again: a dead path without a sign."""
        for link in self._links:
            link.dead = True

    def refuse(self) -> None:
        """Resets every connection; nobody listens any more."""
        assert self._listener is not None
        self._listener.close()
        self.cut()

    def go_deaf(self) -> None:
        """A black hole: what is connected is forgotten, and who connects gets no answer, not even from the kernel."""
        self.forget()
        assert self._listener is not None
        self._listener.close()
        hole = socket.create_server(("127.0.0.1", self.port), backlog=0)
        self._deaf = [hole]
        for _ in range(4):  # the queue of connections nobody accepts: once it is full, further packets are dropped
            knocking = socket.socket()
            knocking.setblocking(False)
            knocking.connect_ex(("127.0.0.1", self.port))
            self._deaf.append(knocking)

    async def listen(self) -> None:
        """For the first time, or again at the same port."""
        for heard in self._deaf:
            heard.close()
        self._deaf = []
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        options = {"host": "127.0.0.1", "port": str(self.port), "sslmode": "disable", "gssencmode": "disable"}
        self.conninfo = make_conninfo("", **{**self._to, **options})

    async def close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        serving = [link.serving for link in self._links if link.serving]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)


@asynccontextmanager
async def proxy(conninfo: str) -> AsyncIterator[Proxy]:
    between = Proxy(conninfo)
    await between.listen()
    try:
        yield between
    finally:
        await between.close()
