"""Back-pressure for pipelined requests (RFC 9112 section 9.3.2)."""

from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_END_OF_HEAD = b"\r\n\r\n"


class _Flow(FlowControl):
    """uvicorn resumes reading for every response and every body. While `held`, that has no effect."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class SequentialHttpProtocol(HttpToolsProtocol):
    """Parses a request once the previous one has been answered: at most one parsed request waits per connection.

    uvicorn parses whatever a read returns, and keeps reading: one connection can queue requests until memory is full.
    Here the rest of that read stays unparsed, and reading pauses, so the client waits for the kernel's window. Valid
    pipelining works, however many requests are sent at once.
    """

    flow: _Flow

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._unparsed = b""
        self._position = 0  # in these bytes
        self._current: Any = None  # the cycle that runs; uvicorn's `cycle` is the one that was parsed last

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.flow = _Flow(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed = b""
        self.pipeline.clear()
        if self._current is not None and not self._current.response_complete:
            self._current.disconnected = True
            self._current.message_event.set()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._unparsed:
            data = self._unparsed[self._position :] + data
        self._unparsed = data
        self._position = 0
        self._parse()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # starts the request that waits, if there is one
        if self._unparsed:
            self._parse()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._current = cycle
        super()._start_asgi_task(cycle, app)

    def _parse(self) -> None:
        """Parses up to the end of a request. A piece has one end of a head, so it completes one head, or two if the
        first one's last bytes arrived separately. Nothing that arrived after `Connection: close` was sent is a request
        (RFC 9112 section 9.6): the client may send it elsewhere."""
        if self.transport.is_closing():
            self._unparsed = b""
        data = self._unparsed
        while self._unparsed and not self._is_responding():
            end = data.find(_END_OF_HEAD, self._position) + len(_END_OF_HEAD)
            if end < len(_END_OF_HEAD) or end == len(data) or data.find(_END_OF_HEAD, end) < 0:
                end = len(data)
                self._unparsed = b""
            piece = data[self._position : end]
            self._position = end
            self._feed(piece)
            if self.transport.is_closing():
                self._unparsed = b""
        if self._unparsed or self.flow.held:
            self._hold(bool(self._unparsed))

    def _feed(self, piece: bytes) -> None:
        super().data_received(piece)

    def _is_responding(self) -> bool:
        """Whether a request has been received completely and its response has not been sent."""
        cycle = self.cycle
        return bool(cycle and not cycle.response_complete and (not cycle.more_body or self.pipeline))

    def _hold(self, held: bool) -> None:
        self.flow.held = held
        if held:
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()
