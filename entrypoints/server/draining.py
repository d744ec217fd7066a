"""Graceful shutdown of a connection."""

from typing import Any

from entrypoints.server.protocol import CLOSE, HardenedHttpProtocol


class DrainingHttpProtocol(HardenedHttpProtocol):
    """Graceful shutdown in two phases: first every response announces `Connection: close`, then idle connections close.

    An idle connection stays open for `drain` seconds after SIGTERM: a request that is already on its way into it would
    otherwise be lost. Proxies in front must close idle connections sooner than that.
    """

    def __init__(self, *arguments: Any, drain: float = 1, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._drain = drain

    def shutdown(self) -> None:
        headers = self.server_state.default_headers  # sent with every response that begins from now on
        if CLOSE not in headers:
            headers.append(CLOSE)
        if self._current is not None and not self._current.response_started:
            self._current.keep_alive = False
        self.loop.call_later(self._drain, super().shutdown)
