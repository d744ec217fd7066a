"""Who is calling, by the signed tokens (JWT, RFC 7519) of Better Auth.

Identity comes from a non-empty string `sub` and nothing else: the links that verify an e-mail address and the cached
session cookies are signed with the same secret, and have none.
"""

import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.types import Options

from application.ports import IdentityProvider
from domain.errors import CredentialsExpired, InvalidValue, NotAuthenticated, SessionTokenSent
from domain.values import UserId

LONGEST_TOKEN = 8 * 1024  # characters; junk takes time in proportion to its length before it fails
LEEWAY = 30  # seconds that the issuer's clock may differ from ours
SHORTEST_SECRET = 32  # bytes, by RFC 7518 section 3.2
PUBLIC_SECRET = "better-auth-secret-12345678901234567890"  # Better Auth's own fallback, known to everybody

_TYPES = {"jwt", "at+jwt"}
_SESSION_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}(\.[A-Za-z0-9+/=_%-]+)?")
_SESSION_TOKEN_HINT = "This is a session token. Send the JWT from /api/auth/token instead."
_CHECKED_HERE: Options = {"verify_iss": False, "verify_aud": False, "require": ["exp", "sub"]}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say about who made it (`iss`) and whom it is for (`aud`), where it says so at all.

    `demanded` names those that it must say. A token for a named audience is refused where none is expected.
    """

    issuer: str | None = None
    audience: str | None = None
    demanded: frozenset[str] = frozenset()

    def fits(self, claims: dict[str, Any]) -> bool:
        if any(name not in claims for name in self.demanded):
            return False
        if self.issuer is not None and claims.get("iss", self.issuer) != self.issuer:
            return False
        audience = claims.get("aud", self.audience)
        return self.audience in (audience if isinstance(audience, list) else [audience])


class BetterAuthIdentityProvider(IdentityProvider):
    """Accepts tokens signed (HS256) with one of the secrets: the current one first, then those before it."""

    def __init__(self, secrets: Sequence[str], expected: Expected) -> None:
        """Raises ValueError for a secret that is no secret."""
        self._keys = [_symmetric_key(secret) for secret in secrets]
        self._expected = expected

    async def identify(self, token: str) -> UserId:
        if len(token) > LONGEST_TOKEN:
            raise NotAuthenticated
        if _SESSION_TOKEN.fullmatch(token):
            raise SessionTokenSent(_SESSION_TOKEN_HINT)
        try:
            return _user(self._claims(token))
        except jwt.ExpiredSignatureError:
            raise CredentialsExpired from None
        except (jwt.PyJWTError, InvalidValue):
            raise NotAuthenticated from None

    def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        for key in self._candidates(header):
            try:
                claims = jwt.decode(token, key, [key.algorithm_name], _CHECKED_HERE, leeway=LEEWAY)
            except jwt.InvalidSignatureError:
                continue
            if not self._expected.fits(claims):
                raise jwt.InvalidTokenError
            return claims
        raise jwt.InvalidSignatureError

    def _candidates(self, header: dict[str, Any]) -> Sequence[jwt.PyJWK]:
        """The keys that may have signed it. Each checks by its own algorithm, whatever the header asks for."""
        if str(header.get("typ", "jwt")).lower() not in _TYPES:
            return ()
        return self._keys if header.get("alg") == "HS256" else ()


def _user(claims: dict[str, Any]) -> UserId:
    if type(claims["exp"]) not in (int, float):  # RFC 7519 section 2: a number, which PyJWT reads from a string too
        raise jwt.InvalidTokenError
    return UserId(claims["sub"])


def _symmetric_key(secret: str) -> jwt.PyJWK:
    """Better Auth signs with the secret's UTF-8 bytes as they are."""
    key = urlsafe_b64encode(checked_secret(secret).encode()).decode()
    return jwt.PyJWK({"kty": "oct", "alg": "HS256", "k": key})


def checked_secret(secret: str) -> str:
    """The secret, if it is one. Raises ValueError, whose text never holds it."""
    if len(secret.encode()) < SHORTEST_SECRET:
        raise ValueError(f"must have at least {SHORTEST_SECRET} bytes: make one with `openssl rand -base64 32`")
    if secret == PUBLIC_SECRET:
        raise ValueError(
            "is Better Auth's public default, which everybody knows: make one with `openssl rand -base64 32`"
        )
    return secret


def sign(user: UserId, secret: str, expected: Expected, *, seconds: int) -> str:
    """A token that is accepted where the secret is shared, good for so many seconds: for development."""
    now = int(time.time())
    claims = {"sub": user, "iat": now, "exp": now + seconds, "iss": expected.issuer, "aud": expected.audience}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, "HS256")
