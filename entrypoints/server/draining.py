"""Connections of a process that stops: no request is lost that is on its way into one."""

from entrypoints.server.protocol import Protocol

LINGER_SECONDS = 1.0  # after SIGTERM; proxies in front close connections that lie idle sooner than this

_CLOSE = (b"connection", b"close")


class DrainingProtocol(Protocol):
    """Takes leave in two steps: every answer from now on is the connection's last, and says so; what is idle is closed
    only later. Closed at once, it might be chosen for a request at that very moment, which would never be answered.
    """

    def shutdown(self) -> None:
        headers = self.server_state.default_headers  # of every answer that begins from now on
        if _CLOSE not in headers:
            headers.append(_CLOSE)
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False
        self.loop.call_later(LINGER_SECONDS, super().shutdown)
