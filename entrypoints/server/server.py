"""uvicorn's server with graceful start and shutdown. Garbage collection is disabled while it loads."""

import asyncio
import errno
import gc
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import uvicorn
from uvicorn.config import STARTUP_FAILURE, Config


class GracefulServer(uvicorn.Server):
    """One process. Accepts no connection before it can respond, and leaves none in the accept queue when it stops.

    Its socket is bound before, and listens once the application has started; then `on_listening` is called.
    """

    def __init__(self, config: Config, on_listening: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        gc.disable()  # collecting garbage during imports is wasted work
        try:
            await super().serve(sockets)
        finally:
            gc.enable()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as failure:
            if failure.errno != errno.EADDRINUSE:
                raise
            sys.stderr.write("The port is in use: another program started listening on it in the meantime.\n")
            sys.exit(STARTUP_FAILURE)
        gc.enable()
        if self._on_listening:
            self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves the connections in the accept queue too: closing the socket would reset them, and their requests may
        have been sent."""
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
