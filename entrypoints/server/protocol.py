"""HTTP/1.1 by uvicorn and httptools, with bounds on what a client can make a process keep."""

import asyncio
import select
from collections.abc import Callable
from functools import partial
from secrets import token_hex
from typing import Any, cast

import structlog

from entrypoints.http.problem import ErrorSpec, problem_body
from entrypoints.server.connections import Connections
from entrypoints.server.pipelining import SequentialHttpProtocol

MAX_HEAD_BYTES = 32 * 1024
MAX_BODY_BYTES = 512 * 1024  # as it is transferred; a body of 64 KiB in chunks of one byte is shorter
HEAD_TIMEOUT = 10  # seconds
BODY_TIMEOUT = 15  # seconds; longer than routes wait for a body, so that they can respond
LINGER = 1  # seconds to read on after a response that did not need the body, so that the client can read it
FLUSH_TIMEOUT = 5  # seconds until a closed connection whose client does not read is reset
READ_TIMEOUT = 10  # seconds in which a client has to read MIN_READ bytes of a response, or all that is left
MIN_READ = 32 * 1024
MAX_JOINED = 64 * 1024  # bytes of a body that are copied behind its head; a second write costs less than copying more

CLOSE = (b"connection", b"close")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"  # as uvicorn writes it
_REASONS = {400: "Bad Request", 503: "Service Unavailable"}

_log = structlog.get_logger()


class HardenedHttpProtocol(SequentialHttpProtocol):
    """Caps the size and the duration of requests, the duration of responses, and ignores trailers.

    - The head (request line and header fields) has at most MAX_HEAD_BYTES, and HEAD_TIMEOUT from the opening of the
      connection or the first byte of the request. The body, with its chunk extensions and trailers, has at most
      MAX_BODY_BYTES, and BODY_TIMEOUT from the end of the head.
    - A response that begins before the end of the body announces `Connection: close`; the connection is then closed
      within LINGER.
    - A client that reads less than MIN_READ bytes in READ_TIMEOUT is disconnected.
    - A request that cannot be parsed gets a 400 with the usual error body, a connection for which there is no room a
      503; both are closed.
    """

    def __init__(
        self,
        *arguments: Any,
        head_timeout: float = HEAD_TIMEOUT,
        body_timeout: float = BODY_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self._connections = Connections.of(self.server_state)
        self._head_timeout, self._body_timeout, self._read_timeout = head_timeout, body_timeout, read_timeout
        self._in_head = True
        self._head_size = self._body_size = 0
        self._receiving: Any = None  # the timer for the head or the body
        self._reading: Any = None  # the timer for the client that reads
        self._left_to_read = 0
        self._lingering = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self._connections.admit(self):
            self._start_timer(self._head_timeout)
        else:
            self._lingering = True
            self._send_problem(503, "too_many_connections", "Too many connections, retry later", "Retry-After: 1\r\n")
            self.linger() if self._connections.may_linger(self) else self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        self.resume_writing()
        self._connections.remove(self)
        super().connection_lost(exc)

    # Requests

    def data_received(self, data: bytes) -> None:
        if not self._lingering:
            super().data_received(data)

    def _parse(self) -> None:
        if self._lingering:
            self._unparsed = b""
        super()._parse()
        if self._head_size or not self._in_head:
            self._await_rest()

    def _await_rest(self) -> None:
        """Starts the timer if a request has begun to arrive, and it is its turn."""
        if self._head_size > MAX_HEAD_BYTES and self._in_head and not self.transport.is_closing():
            self.send_400_response("The request line and header fields are too long")
        if self._receiving is not None or self._is_responding() or self.transport.is_closing():
            return
        if not self._in_head:
            self._start_timer(self._body_timeout)
            self._close_after_early_response()
        elif self._head_size:
            self._start_timer(self._head_timeout)

    def _feed(self, piece: bytes) -> None:
        if self._in_head:
            self._head_size += len(piece)
        else:
            self._body_size += len(piece)
        if self._body_size > MAX_BODY_BYTES:
            self.send_400_response("The body is too long")
        else:
            super()._feed(piece)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_size = self._head_size or 1  # it may begin in the last piece of the previous body

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
        self._head_size = self._body_size = 0
        self._cancel_timer()
        if not self.cycle.response_started:
            self.cycle.default_headers = self.server_state.default_headers
            self._respond_through(self.transport.close)

    def _close_after_early_response(self) -> None:
        """Until the body has arrived."""
        if not self.cycle.response_started:
            self.cycle.default_headers = [*self.server_state.default_headers, CLOSE]
            self._respond_through(self.linger)

    def _respond_through(self, close: Callable[[], None]) -> None:
        transport = _ResponseTransport(self.transport, close, has_body=self.cycle.scope["method"] != "HEAD")
        self.cycle.transport = cast(asyncio.Transport, transport)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._connections.mark_busy(self)
        self._connections.starts.begin(partial(super()._start_asgi_task, cycle, app))

    # Responses

    def on_response_complete(self) -> None:
        self._connections.mark_idle(self)
        super().on_response_complete()
        if self.transport.is_closing():
            self.close()
        elif self._head_size or not self._in_head:
            self._await_rest()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._left_to_read = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(self._read_timeout, self._check_reader)
        self._connections.mark_unread(self)

    def resume_writing(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
            self._connections.mark_read(self)
        super().resume_writing()

    def _check_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        if self._left_to_read - left < MIN_READ:
            self.abort("the client reads too slowly")
            return
        self._left_to_read = left
        self._reading = self.loop.call_later(self._read_timeout, self._check_reader)

    def send_400_response(self, msg: str) -> None:
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self._send_problem(400, "malformed_request", msg)
        self.close()

    def _send_problem(self, status: int, code: str, detail: str, more: str = "") -> None:
        request_id = token_hex(16)
        problem = problem_body(ErrorSpec(status, code, detail), request_id)
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\nConnection: close\r\n{more}"
            f"Content-Length: {len(problem)}\r\nX-Request-ID: {request_id}\r\nX-Content-Type-Options: nosniff\r\n"
            "Cache-Control: no-store\r\n\r\n"
        )
        self.transport.write(head.encode() + problem)

    # The end of a connection

    def has_input(self) -> bool:
        """Whether something has arrived that the event loop has not read yet."""
        readable = select.poll()
        readable.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(readable.poll(0))

    def close(self) -> None:
        """Sends what was written, if the client reads it in time."""
        if not self.transport.is_closing() or self.transport.get_write_buffer_size():
            self.transport.close()
            self.loop.call_later(FLUSH_TIMEOUT, self.transport.abort)

    def abort(self, reason: str) -> None:
        _log.warning("connection aborted", reason=reason)
        self.transport.abort()

    def linger(self) -> None:
        """Closes the connection later, if the client may still be sending: closing at once would reset it, and the
        client could lose the response (RFC 9112 section 9.6)."""
        self._lingering = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER, self.close)

    def timeout_keep_alive_handler(self) -> None:
        self.close()

    def _start_timer(self, seconds: float) -> None:
        self._receiving = self.loop.call_later(seconds, self._too_late)

    def _cancel_timer(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _too_late(self) -> None:
        self._receiving = None
        self.close()


class _ResponseTransport:
    """What a response sees of the transport. Holds its head back until the body begins, as ASGI demands, so that both
    are one write: each write is a system call and a TCP segment of its own.

    `close`: ends the connection after the response; while the request's body may still arrive, later. Does not know its
    cycle: the two would be garbage that only the collector finds, for each request.
    """

    __slots__ = ("_close", "_has_body", "_head", "_transport")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None], *, has_body: bool) -> None:
        self._transport, self._close, self._has_body = transport, close, has_body
        self._head: bytes | None = None  # empty once it is written

    def write(self, data: bytes) -> None:
        if self._head is not None:
            if self._head and len(data) > MAX_JOINED:
                self._transport.write(self._head)
                self._head = b""
            self._transport.write(self._head + data)
            self._head = b""
        elif self._has_body and data != CONTINUE:
            self._head = data
        else:
            self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        if self._head:  # the application failed before the body
            self._transport.write(self._head)
        self._close()
