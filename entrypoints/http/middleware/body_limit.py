"""How large a request body may be."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.problem import RequestRefused

LARGEST_BODY = 64 * 1024  # bytes

_BODY = (b"content-length", b"transfer-encoding")
"""Fields without which a request has no body (RFC 9112 section 6.3)."""


class BodyLimit:
    """Refuses longer bodies with 413: at once if the length is declared, else when the limit is reached.

    Also refuses, with 400, a body behind an `Upgrade` field: httptools stops reading there, so the request would look
    as if it had no body. Closes the connection, on which the body would be read as the next request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        headers = dict(scope["headers"])
        if headers.keys().isdisjoint(_BODY):
            return self._app(scope, receive, send)
        length = headers.get(b"content-length", b"0")
        if b"upgrade" in headers and (b"transfer-encoding" in headers or length != b"0"):
            raise RequestRefused(400, headers={"Connection": "close"})
        if length.isdigit() and int(length[:20]) > LARGEST_BODY:  # twenty digits are enough to tell
            raise RequestRefused(413)
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > LARGEST_BODY:
                raise RequestRefused(413)
            return message

        return self._app(scope, counted, send)
