"""Proxy that simulates a distant database: delays bytes to and from PostgreSQL by 2.5 ms in each direction.

python -m benchmarks.delay SOCKET: prints its port, and runs until it is terminated.
"""

import socket
import sys
import time
from collections import deque
from select import select

SECONDS = 0.0025  # in each direction


class Delay:
    """Uses a few microseconds for each chunk, without an event loop, because it shares the cores with the servers."""

    def __init__(self, listener: socket.socket, to: str) -> None:
        self._listener, self._to = listener, to
        self._other: dict[socket.socket, socket.socket] = {}
        self._late: deque[tuple[float, socket.socket, bytes]] = deque()

    def run(self) -> None:
        # select(2) has a resolution of microseconds; Python's epoll has one of milliseconds.
        while True:
            for ready in select([self._listener, *self._other], (), (), self._until_next())[0]:
                if ready is self._listener:
                    self._connect()
                elif ready in self._other:
                    self._take(ready)
            self._pass_on()

    def _until_next(self) -> float | None:
        return max(self._late[0][0] - time.monotonic(), 0) if self._late else None

    def _connect(self) -> None:
        near = self._listener.accept()[0]
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far = socket.socket(socket.AF_UNIX)
        far.connect(self._to)
        self._other |= {near: far, far: near}

    def _take(self, end: socket.socket) -> None:
        try:
            data = end.recv(1 << 18)
        except ConnectionError:
            data = b""
        self._late.append((time.monotonic() + SECONDS, self._other[end], data))
        if not data:
            del self._other[end]

    def _pass_on(self) -> None:
        while self._late and self._late[0][0] <= time.monotonic():
            _, end, data = self._late.popleft()
            try:
                end.sendall(data) if data else end.shutdown(socket.SHUT_WR)
            except OSError:  # the peer has disconnected
                continue


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)  # noqa: T201
    Delay(listener, sys.argv[1]).run()
