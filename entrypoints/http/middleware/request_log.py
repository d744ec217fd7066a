"""One log line per request, under an id that the client may choose and always gets back."""

import re
import time
from collections.abc import Awaitable
from functools import lru_cache
from hashlib import blake2b
from random import getrandbits
from typing import Literal

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.context import RequestContext
from entrypoints.observability.request_metrics import RequestCounts

_log = structlog.get_logger()
_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_PROBES = ("/healthz", "/readyz")
_NOSNIFF = (b"x-content-type-options", b"nosniff")


@lru_cache(4096)
def pseudonym(user: str) -> str:
    """The same 12 hexadecimal digits for the same user in every process: `printf %s USER | b2sum -l 48`.

    Not keyed, so that an operator who knows a user's id finds their lines; Better Auth's ids are too random to be
    guessed. Cached, because it is on every request's path.
    """
    return blake2b(user.encode(), digest_size=6).hexdigest()


def _chosen_id(scope: Scope) -> bytes | None:
    """The id that the client sent, if it is a valid one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value if _ID.fullmatch(value) else None
    return None


class RequestLog:
    """Logs requests and, with `counts`, counts all of them. Outermost, so that it covers every response.

    `access_log`: log all requests but successful probes, only those that failed (status 400 or higher), or none.
    Logs the route's template, never the path itself: paths hold user ids, and whatever else a caller makes up.
    """

    def __init__(
        self, app: ASGIApp, counts: RequestCounts | None = None, access_log: Literal["on", "off", "errors"] = "on"
    ) -> None:
        self._app = app
        self._counts = counts
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _chosen_id(scope) or b"%032x" % getrandbits(128)  # unique; need not be unpredictable
        request = RequestContext(request_id.decode())
        request.attach(scope)
        started = time.perf_counter()
        if self._counts:
            self._counts.begin()

        def with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id), _NOSNIFF]
            return send(message)

        try:
            await self._app(scope, receive, with_headers)
        finally:
            self._write(scope, request, time.perf_counter() - started)

    def _write(self, scope: Scope, request: RequestContext, seconds: float) -> None:
        """The status is 0 where the client left before the response began."""
        method, path = scope["method"], getattr(scope.get("route"), "path", None)
        status, caller = request.status, request.caller
        if self._counts:
            self._counts.end(method, path, status, seconds, request.error_code)
        if status == 200 and path in _PROBES:
            return
        if self._access_log != "on" and (self._access_log == "off" or 100 <= status < 400):
            return
        more = {}
        if request.error_code is not None:
            more["code"] = request.error_code
        if request.trace_id is not None:
            more["trace_id"] = request.trace_id
        _log.info(
            "request",
            method=method,
            route=path,
            status=status,
            milliseconds=round(seconds * 1000, 1),
            caller=pseudonym(caller) if caller else None,
            request_id=request.request_id,
            **more,
        )
