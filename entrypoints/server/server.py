"""uvicorn's server with graceful start and shutdown, and bounds. Garbage collection is disabled while it loads."""

import asyncio
import errno
import gc
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from entrypoints.observability import logs
from entrypoints.server.connections import Connections, Limits
from entrypoints.server.memory import Memory

RESERVED_DESCRIPTORS = 128  # for all but clients: the database (90 at most), the log, metrics, refused connections
ACCEPTS = 16  # connections accepted in one turn of the loop; more would delay the requests on others

_log = structlog.get_logger()


class ServerConfig(uvicorn.Config):
    """uvicorn's, with the limits of each process."""

    limits = Limits()
    hang_timeout = 30.0
    """Seconds without a turn of the event loop until a worker is replaced. No request occupies it for so long."""


class GracefulServer(uvicorn.Server):
    """One process. Accepts no connection before it can respond, and leaves none in the accept queue when it stops.

    Its socket is bound before, and listens once the application has started; then `on_listening` is called.
    """

    config: ServerConfig

    def __init__(self, config: ServerConfig, on_listening: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self.last_tick = time.monotonic()
        """When the event loop was last known to run."""
        self._on_listening = on_listening
        self._connecting: set[asyncio.Task[object]] = set()
        self._accepting = False

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        gc.disable()  # collecting garbage during imports is wasted work
        try:
            await super().serve(sockets)
        finally:
            gc.enable()
            logs.flush()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        connections = Connections.of(self.server_state)
        connections.limits = _within_descriptors(self.config.limits)
        connections.on_connection = lambda: self._accept_soon(sockets or [])
        try:
            await super().startup(sockets)
        except OSError as failure:
            if failure.errno != errno.EADDRINUSE:
                raise
            sys.stderr.write("The port is in use: another program started listening on it in the meantime.\n")
            sys.exit(STARTUP_FAILURE)
        gc.enable()
        self._memory, self._started_at = Memory(), time.monotonic()
        if self._on_listening:
            self._on_listening()

    async def on_tick(self, counter: int) -> bool:
        self.last_tick = time.monotonic()
        if counter % 10 == 0:  # each second
            self._memory.tick(int(self.last_tick - self._started_at))
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves the connections in the accept queue too: closing the socket would reset them, and their requests may
        have been sent."""
        Connections.of(self.server_state).on_connection = None
        queued = [*_accepted(sockets or [])]
        for server in self.servers:
            server.close()
        for connection in queued:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        await super().shutdown(sockets)

    def _accept_soon(self, sockets: Sequence[socket.socket]) -> None:
        """The event loop accepts one connection in each of its turns, so that new clients of a busy server would wait
        for seconds. Those that wait with it are accepted too."""
        if not self._accepting:
            self._accepting = True
            asyncio.get_running_loop().call_soon(self._accept, sockets)

    def _accept(self, sockets: Sequence[socket.socket]) -> None:
        self._accepting = False
        loop = asyncio.get_running_loop()
        for _, connection in zip(range(ACCEPTS), _accepted(sockets), strict=False):
            connecting = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
            self._connecting.add(connecting)
            connecting.add_done_callback(self._connecting.discard)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _accepted(listeners: Sequence[socket.socket]) -> Iterator[socket.socket]:
    for listener in listeners:
        while True:
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                break
            except ConnectionAbortedError:
                continue
            except OSError as failure:
                _log.warning("connection not accepted", reason=failure.strerror)
                break
            connection.setblocking(False)
            yield connection


def _within_descriptors(limits: Limits) -> Limits:
    """Raises the process's limit on open files as far as it may, and returns as many connections as that allows."""
    wanted = limits.connections + RESERVED_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limits
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == wanted:
        return limits
    connections = max(allowed - RESERVED_DESCRIPTORS, allowed // 4)
    _log.warning("fewer connections", connections=connections, reason=f"the limit on open files is {allowed}")
    return limits._replace(connections=connections)
