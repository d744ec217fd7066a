"""HEAD wherever GET is (RFC 9110 section 9.3.2)."""

from collections.abc import Awaitable

from fastapi.routing import iter_route_contexts
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send


class Head:
    """Has the route for GET handle a HEAD request, unless a route takes HEAD itself. The server omits the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or scope["method"] != "HEAD" or _takes_head(scope):
            return self._app(scope, receive, send)
        return self._get(scope, receive, send)

    async def _get(self, scope: Scope, receive: Receive, send: Send) -> None:
        get = {**scope, "method": "GET"}
        try:
            await self._app(get, receive, send)
        finally:
            scope["route"] = get.get("route")  # for the request log


def _takes_head(scope: Scope) -> bool:
    return any(route.matches(scope)[0] is Match.FULL for route in iter_route_contexts(scope["app"].routes))
