"""One line in the log for each request, under an id that the client may choose and always gets back."""

import re
import time
from functools import lru_cache
from hashlib import blake2b
from secrets import token_hex

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.observability.request_metrics import RequestCounts

_log = structlog.get_logger()
_ALSO = ("code", "trace_id")  # of errors, and of requests that are traced
_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


@lru_cache(4096)
def pseudonym(user: str) -> str:
    """The same 12 hexadecimal digits for the same user, in every process: `printf %s USER | b2sum -l 48`.

    Without a key, so that whoever knows a user's id finds their lines; Better Auth's ids are too random to be guessed.
    Remembered, because it is in every request's way.
    """
    return blake2b(user.encode(), digest_size=6).hexdigest()


class RequestLog:
    """Names the route, never the address that was asked for: addresses hold user ids, and whatever a caller invents.

    What is written down is also counted, where there is something to count with.
    """

    def __init__(self, app: ASGIApp, counts: RequestCounts | None = None) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = sent if _ID.fullmatch(sent) else token_hex(16).encode()
        state = scope.setdefault("state", {})
        state["request_id"] = request_id.decode()
        status, started = 0, time.perf_counter()
        if self._counts:
            self._counts.begin()

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", request_id))
            await send(message)

        try:
            await self._app(scope, receive, with_id)
        finally:
            self._write_down(scope, status, time.perf_counter() - started)

    def _write_down(self, scope: Scope, status: int, seconds: float) -> None:
        state, route = scope["state"], scope.get("route")
        method, path, caller = scope["method"], route.path if route else None, state.get("caller")
        if self._counts:
            self._counts.end(method, path, status, seconds, state.get("code"))
        _log.info(
            "request",
            method=method,
            route=path,
            status=status,
            milliseconds=round(seconds * 1000, 1),
            caller=pseudonym(caller) if caller else None,
            request_id=state["request_id"],
            **{name: state[name] for name in _ALSO if name in state},
        )
