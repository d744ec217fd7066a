"""A way to the API that loses requests and answers when a test wants it to."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2

from tests.cli.conftest import TIMEOUT


class Fault(Enum):
    """What becomes of a request."""

    NONE = "it is passed on, and so is its answer"
    REQUEST_LOST = "the connection is closed, and the API hears of nothing"
    ANSWER_LOST = "the connection is closed when the API has answered"
    ANSWER_CUT = "half of the answer's body arrives"
    BUSY = "503, from something that is not the API"
    BUSY_FOR_AN_HOUR = "the same, with Retry-After"


@dataclass(frozen=True)
class Request:
    """As the client sent it."""

    at: float  # seconds, monotonic
    token: str
    key: str | None


@dataclass
class Way:
    """Does to each request what the next fault says, and to those beyond nothing."""

    api: str
    faults: list[Fault]
    address: str = ""
    requests: list[Request] = field(default_factory=list)

    def take(self, request: Request) -> Fault:
        self.requests.append(request)
        return self.faults.pop(0) if self.faults else Fault.NONE


class _Passing(BaseHTTPRequestHandler):
    way: Way  # set below
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        self.close_connection = True
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        token = self.headers["Authorization"].removeprefix("Bearer ")
        fault = self.way.take(Request(time.monotonic(), token, self.headers["Idempotency-Key"]))
        if fault is Fault.REQUEST_LOST:
            return
        if fault in (Fault.BUSY, Fault.BUSY_FOR_AN_HOUR):
            headers = {"Retry-After": "3600"} if fault is Fault.BUSY_FOR_AN_HOUR else {}
            self._answer(httpx2.Response(503, text="Please wait", headers=headers))
            return
        url, headers = self.way.api + self.path, {**self.headers, "Accept-Encoding": "identity"}
        answer = httpx2.request(self.command, url, headers=headers, content=body, timeout=TIMEOUT)
        if fault is not Fault.ANSWER_LOST:
            self._answer(answer, half=fault is Fault.ANSWER_CUT)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815

    def _answer(self, answer: httpx2.Response, *, half: bool = False) -> None:
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.content[: len(answer.content) // 2] if half else answer.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def flaky(api: str, *faults: Fault) -> Iterator[Way]:
    """A way to the API at this address, while the context is open."""
    way = Way(api, [*faults])
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Passing", (_Passing,), {"way": way}))
    way.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield way
    finally:
        server.shutdown()
        server.server_close()
