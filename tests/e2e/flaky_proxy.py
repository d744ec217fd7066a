"""HTTP proxy that drops requests and responses on demand."""

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
    """What the proxy does with a request."""

    NONE = "request and response are forwarded"
    REQUEST_LOST = "the connection is closed before the request is forwarded"
    RESPONSE_LOST = "the connection is closed after the API has responded"
    RESPONSE_TRUNCATED = "half of the response's body is forwarded"
    BUSY = "503 from the proxy itself"
    BUSY_FOR_AN_HOUR = "the same, with Retry-After"
    TOO_MANY = "429 from the proxy itself"


@dataclass(frozen=True)
class Request:
    """A request as the client sent it."""

    at: float  # seconds, monotonic
    token: str
    key: str | None


@dataclass
class FlakyProxy:
    """Applies the next fault to each request; forwards requests when none is left."""

    api: str
    faults: list[Fault]
    address: str = ""
    requests: list[Request] = field(default_factory=list)

    def next_fault(self, request: Request) -> Fault:
        self.requests.append(request)
        return self.faults.pop(0) if self.faults else Fault.NONE


class _Handler(BaseHTTPRequestHandler):
    proxy: FlakyProxy  # set below
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        self.close_connection = True
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        token = self.headers["Authorization"].removeprefix("Bearer ")
        fault = self.proxy.next_fault(Request(time.monotonic(), token, self.headers["Idempotency-Key"]))
        if fault is Fault.REQUEST_LOST:
            return
        if fault in (Fault.BUSY, Fault.BUSY_FOR_AN_HOUR, Fault.TOO_MANY):
            headers = {"Retry-After": "3600"} if fault is Fault.BUSY_FOR_AN_HOUR else {}
            status = 429 if fault is Fault.TOO_MANY else 503
            self._respond(httpx2.Response(status, text="Please wait", headers=headers))
            return
        url, headers = self.proxy.api + self.path, {**self.headers, "Accept-Encoding": "identity"}
        response = httpx2.request(self.command, url, headers=headers, content=body, timeout=TIMEOUT)
        if fault is not Fault.RESPONSE_LOST:
            self._respond(response, half=fault is Fault.RESPONSE_TRUNCATED)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815

    def _respond(self, response: httpx2.Response, *, half: bool = False) -> None:
        self.send_response(response.status_code)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.content[: len(response.content) // 2] if half else response.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def flaky(api: str, *faults: Fault) -> Iterator[FlakyProxy]:
    """A proxy of the API at this address, while the context is open."""
    proxy = FlakyProxy(api, [*faults])
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    proxy.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
