"""The connections of a process, and the bounds on them."""

from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import structlog
from uvicorn.server import ServerState

from entrypoints.server.starts import Starts

MAX_REFUSED = 32  # refused connections that are open at a time, so that their clients can read why
MAX_CANDIDATES = 16  # idle connections that are looked at before one is closed; each look is a system call
MAX_UNREAD = 32 * 1024 * 1024  # bytes of responses that clients have not read, in all; a page of tasks has 4 MB at most

_log = structlog.get_logger()


class Limits(NamedTuple):
    """How many connections a process has, in all and from one address (an IPv4 address, an IPv6 network of 64 bits)."""

    connections: int = 2000
    per_address: int = 1000


DEFAULT_LIMITS = Limits()


class Connections:
    """Admits connections, makes room by closing idle ones, and ends those of clients that do not read.

    Protocols report here what becomes of their connection. An idle connection is one without a request in progress.
    """

    @staticmethod
    def of(server: ServerState) -> "Connections":
        """Those of this server; also where uvicorn runs our protocol without our server."""
        return _by_server.setdefault(server, Connections())

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.starts = Starts()
        self.on_connection: Callable[[], None] | None = None
        """Called for every connection, admitted or not."""
        self._admitted: dict[Any, str] = {}
        """Protocols with their addresses."""
        self._by_address: Counter[str] = Counter()
        self._idle: dict[Any, None] = {}
        """In order: the one that has been idle for longest comes first."""
        self._refused: set[Any] = set()
        self._unread: dict[Any, None] = {}
        """Connections whose clients have to read before more is sent, in order."""

    def admit(self, connection: Any) -> bool:
        """Whether there is room for it. If there is none, closes the connection that has been idle for longest, unless
        its request has just arrived."""
        if self.on_connection:
            self.on_connection()
        address = _network(connection.client)
        if self._by_address[address] >= self.limits.per_address:
            _log.warning("connection refused", reason="too many connections from one address")
            return False
        if len(self._admitted) >= self.limits.connections and not self._close_idle():
            _log.warning("connection refused", reason="too many connections, and none is idle")
            return False
        self._admitted[connection] = address
        self._by_address[address] += 1
        self._idle[connection] = None
        return True

    def may_linger(self, refused: Any) -> bool:
        """Whether a refused connection may stay open for a while."""
        if len(self._refused) >= MAX_REFUSED:
            return False
        self._refused.add(refused)
        return True

    def _close_idle(self) -> bool:
        if not self._idle:
            return False
        candidates = [*islice(self._idle, MAX_CANDIDATES)]
        closed = next((one for one in candidates if not one.has_input()), candidates[0])
        self.remove(closed)
        closed.close()
        _log.warning("idle connection closed", reason="too many connections")
        return True

    def remove(self, connection: Any) -> None:
        self._refused.discard(connection)
        address = self._admitted.pop(connection, None)
        if address is None:
            return
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
        self._idle.pop(connection, None)
        self._unread.pop(connection, None)

    def mark_busy(self, connection: Any) -> None:
        self._idle.pop(connection, None)

    def mark_idle(self, connection: Any) -> None:
        if connection in self._admitted:
            self._idle[connection] = None

    def mark_unread(self, connection: Any) -> None:
        """The client has to read. If too much waits in all, ends the connections that have waited for longest, except
        the last one."""
        self._unread[connection] = None
        waiting = sum(one.transport.get_write_buffer_size() for one in self._unread)
        while waiting > MAX_UNREAD and len(self._unread) > 1:
            slowest = next(iter(self._unread))
            del self._unread[slowest]
            waiting -= slowest.transport.get_write_buffer_size()
            slowest.loop.call_soon(slowest.abort, "too much waits to be read")

    def mark_read(self, connection: Any) -> None:
        self._unread.pop(connection, None)


_by_server: WeakKeyDictionary[ServerState, Connections] = WeakKeyDictionary()


def _network(client: tuple[str, int] | None) -> str:
    """What one client controls."""
    host = client[0] if client else ""
    return str(int(IPv6Address(host.partition("%")[0])) >> 64) if ":" in host else host
