"""HTTP/1.1 by uvicorn and httptools, hardened, and with a graceful shutdown in two phases."""

from secrets import token_hex
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from entrypoints.http.problem import ErrorSpec, problem_body

MAX_HEAD_BYTES = 32 * 1024

_CLOSE = (b"connection", b"close")


class HardenedHttpProtocol(HttpToolsProtocol):
    """Caps the size and the duration of a request's head, and ignores trailers. Costs one comparison per header field.

    The head (request line and header fields) has at most MAX_HEAD_BYTES, and `head_timeout` seconds from the opening of
    the connection or the first byte of the request. A request that cannot be parsed gets a 400 with the usual error
    body, and the connection is closed.
    """

    def __init__(self, *arguments: Any, head_timeout: float = 10, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_timeout = head_timeout
        self._in_head = True
        self._head_size = 0
        self._timer: Any = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_size += len(data)
        super().data_received(data)
        if self._head_size == 0 or not self._in_head or self.transport.is_closing():
            return
        if self._head_size > MAX_HEAD_BYTES:
            self.send_400_response("The request line and header fields are too long")
        elif self._timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:  # pipelined: it arrived together with the end of the previous request
            self._start_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # a trailer must not be merged into the header (RFC 9110 section 6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._cancel_timer()
        head = sum(len(name) + len(value) for name, value in self.headers) + len(self.url)
        if head > MAX_HEAD_BYTES or self.parser.get_http_version() not in ("1.0", "1.1"):
            raise ValueError  # httptools turns it into a parser error, which uvicorn answers with 400
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True
        self._head_size = 0

    def send_400_response(self, msg: str) -> None:
        request_id = token_hex(16)
        problem = problem_body(ErrorSpec(400, "malformed_request", msg), request_id)
        head = (
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(problem)}\r\nX-Request-ID: {request_id}\r\nX-Content-Type-Options: nosniff\r\n"
            "Cache-Control: no-store\r\n\r\n"
        )
        self.transport.write(head.encode() + problem)
        self.transport.close()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self._head_timeout, self._close)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        self._timer = None
        if self._in_head and not self.transport.is_closing():
            self.transport.close()


class DrainingHttpProtocol(HardenedHttpProtocol):
    """Graceful shutdown in two phases: first every response announces `Connection: close`, then idle connections close.

    An idle connection stays open for `linger` seconds after SIGTERM: a request that is already on its way into it would
    otherwise be lost. Proxies in front must close idle connections sooner than that.
    """

    def __init__(self, *arguments: Any, linger: float = 1, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._linger = linger

    def shutdown(self) -> None:
        headers = self.server_state.default_headers  # sent with every response that begins from now on
        if _CLOSE not in headers:
            headers.append(_CLOSE)
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False
        self.loop.call_later(self._linger, super().shutdown)
