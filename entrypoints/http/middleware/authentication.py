"""Establishes the caller before a byte of the body is read."""

from starlette.types import ASGIApp, Receive, Scope, Send

from application.ports import IdentityProvider
from domain.errors import CredentialsMissing, NotAuthenticated
from entrypoints.http.context import context


class Authentication:
    """Nothing under `/api` passes without a caller, available as `context(scope).caller`. Raises NotAuthenticated.

    An ASGI middleware, because FastAPI reads and parses the body before it runs dependencies.
    """

    def __init__(self, app: ASGIApp, identity: IdentityProvider) -> None:
        self._app = app
        self._identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and f"{scope['path']}/".startswith("/api/"):
            context(scope).caller = await self._identity.identify(_bearer_token(scope))
        await self._app(scope, receive, send)


def _bearer_token(scope: Scope) -> str:
    """RFC 6750 section 2.1. Two `Authorization` fields are ambiguous, so they are refused."""
    fields = [value for name, value in scope["headers"] if name == b"authorization"]
    if not fields:
        raise CredentialsMissing
    if len(fields) > 1:
        raise NotAuthenticated
    scheme, _, token = fields[0].decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise CredentialsMissing
    return str(token.strip())
