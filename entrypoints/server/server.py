"""From when until when a server takes connections: not before it can answer, and none is left in the accept queue."""

import asyncio
import errno
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import typer
import uvicorn
from uvicorn.config import STARTUP_FAILURE, Config


class Server(uvicorn.Server):
    """One process. Its socket is bound already, and listens when the application is loaded: then `opened` is called."""

    def __init__(self, config: Config, opened: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._opened = opened

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as refusal:
            if refusal.errno != errno.EADDRINUSE:
                raise
            typer.echo("The port is in use: another program began to listen there meanwhile.", err=True)
            sys.exit(STARTUP_FAILURE)
        if self._opened:
            self._opened()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts all who are connected as far as the kernel is concerned: closing would reset them, and they may have
        sent their request."""
        queued = [*_accepted(sockets or [])]
        for server in self.servers:
            server.close()
        for connection in queued:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _accepted(listeners: Sequence[socket.socket]) -> Iterator[socket.socket]:
    for listener in listeners:
        with suppress(BlockingIOError):
            while True:
                connection, _ = listener.accept()
                connection.setblocking(False)
                yield connection
