"""HTTP/1.1 by uvicorn and httptools, closed where they are too trusting. Costs a comparison for each header field."""

from secrets import token_hex
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from entrypoints.http.problem import ErrorSpec, problem_body

LARGEST_HEAD = 32 * 1024  # bytes of request line and header fields
HEAD_SECONDS = 10  # from a connection's or a request's first moment to the end of its head


class Protocol(HttpToolsProtocol):
    """A head of at most `LARGEST_HEAD`, within `HEAD_SECONDS`; fields that come after the body are not header fields.

    Whatever cannot be read as a request is answered with the body that every error has, and the connection is closed.
    """

    _in_head = True
    _head_size = 0
    _late: Any = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_size += len(data)
        super().data_received(data)
        if self._head_size == 0 or not self._in_head or self.transport.is_closing():
            return
        if self._head_size > LARGEST_HEAD:
            self.send_400_response("The request line and header fields are too long")
        elif self._late is None:
            self._expect_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._late is None:  # it may have come with the end of the one before
            self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else it is a trailer, which must not pass for a header (RFC 9110 section 6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._forget_head()
        head = sum(len(name) + len(value) for name, value in self.headers) + len(self.url)
        if head > LARGEST_HEAD or self.parser.get_http_version() not in ("1.0", "1.1"):
            raise ValueError  # which httptools makes into the error of a request that cannot be read
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
            f"Content-Length: {len(problem)}\r\nX-Request-ID: {request_id}\r\n\r\n"
        )
        self.transport.write(head.encode() + problem)
        self.transport.close()

    def _expect_head(self) -> None:
        self._late = self.loop.call_later(HEAD_SECONDS, self._close)

    def _forget_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self._late = None
        if self._in_head and not self.transport.is_closing():
            self.transport.close()
