"""One line for each request, under an id that the client may choose and always gets back."""

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = structlog.get_logger()
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


class RequestLog:
    """Names the route, never the address that was asked for: addresses hold user ids, and whatever a caller invents."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if _ID.fullmatch(sent) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status, started = 0, time.perf_counter()

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", request_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, with_id)
        finally:
            route = scope.get("route")
            _log.info(
                "request",
                method=scope["method"],
                route=route.path if route else None,
                status=status,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
                request_id=request_id,
            )
