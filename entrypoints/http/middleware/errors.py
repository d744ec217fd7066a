"""Responds to what FastAPI's own exception handlers leave over."""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.errors import DomainError
from entrypoints.http.context import context
from entrypoints.http.problem import ERRORS, reported_as, respond


class Errors:
    """Turns any exception into a problem response. Inside CORS, so that pages can read it; outside authentication and
    FastAPI, so that it covers both.

    If the application registers a handler for `Exception` or 500, unhandled exceptions go to that handler.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            return
        except Exception as failure:
            request, kind = context(scope), reported_as(type(failure)) if isinstance(failure, DomainError) else None
            if request.status and kind:
                # A list breaks off: without the end of its body the server closes the connection.
                request.error_code = ERRORS[kind].code
                return
            if request.status or not (kind or {Exception, 500}.isdisjoint(scope["app"].exception_handlers)):
                raise
            await respond(scope, failure)(scope, receive, send)
