"""A way to PostgreSQL that fails when a test wants it to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Proxy:
    """Passes bytes on in both directions, each until it is told not to."""

    def __init__(self, conninfo: str) -> None:
        parts = conninfo_to_dict(conninfo)
        self._host, self._port = str(parts["host"]), int(parts.get("port") or 5432)
        self._to = {name: str(value) for name, value in parts.items() if name not in ("host", "port")}
        self._writers: list[asyncio.StreamWriter] = []
        self.questions, self.answers = asyncio.Event(), asyncio.Event()
        self.questions.set()
        self.answers.set()
        self.swallowed = asyncio.Event()
        self.connections = 0
        self.conninfo = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._host.startswith("/"):
            there = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            there = await asyncio.open_connection(self._host, self._port)
        self._writers += [writer, there[1]]
        await asyncio.gather(self._pass(reader, there[1], self.questions), self._pass(there[0], writer, self.answers))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, allowed: asyncio.Event) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if not allowed.is_set():
                    self.swallowed.set()
                    await allowed.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    def cut(self) -> None:
        """Resets every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        options = {"host": "127.0.0.1", "port": str(port), "sslmode": "disable", "gssencmode": "disable"}
        self.conninfo = make_conninfo("", **{**self._to, **options})
        return server


@asynccontextmanager
async def proxy(conninfo: str) -> AsyncIterator[Proxy]:
    between = Proxy(conninfo)
    server = await between.listen()
    try:
        yield between
    finally:
        server.close()
        between.cut()
