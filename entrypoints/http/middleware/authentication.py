"""Who is calling, known before a byte of the body is read."""

from starlette.types import ASGIApp, Receive, Scope, Send

from application.ports import IdentityProvider
from domain.errors import CredentialsMissing, NotAuthenticated


class Authentication:
    """Lets nothing under `/api` pass without a caller, whom `request.state.caller` then names. Raises NotAuthenticated.

    An ASGI middleware, because FastAPI reads and parses the body before it asks its dependencies.
    """

    def __init__(self, app: ASGIApp, identity: IdentityProvider) -> None:
        self._app = app
        self._identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and f"{scope['path']}/".startswith("/api/"):
            scope.setdefault("state", {})["caller"] = await self._identity.identify(_bearer_token(scope))
        await self._app(scope, receive, send)


def _bearer_token(scope: Scope) -> str:
    """RFC 6750 section 2.1. Two `Authorization` fields are refused: nobody can say which one counts."""
    fields = [value for name, value in scope["headers"] if name == b"authorization"]
    if not fields:
        raise CredentialsMissing
    if len(fields) > 1:
        raise NotAuthenticated
    scheme, _, token = fields[0].decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise CredentialsMissing
    return str(token.strip())
