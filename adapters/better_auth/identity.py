"""Who is calling, by the signed tokens (JWT, RFC 7519) of Better Auth: with the secret or with a published key.

Identity comes from a non-empty string `sub` and nothing else: the links that verify an e-mail address and the cached
session cookies are signed with the same secret, and have none.
"""

import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jwt
from jwt.types import Options

from adapters.better_auth.jwks import ALGORITHMS, PublishedKeys
from application.ports import IdentityProvider
from domain.errors import CredentialsExpired, InvalidValue, NotAuthenticated, WrongCredentialType
from domain.values import UserId

LONGEST_TOKEN = 8 * 1024  # characters; junk takes time in proportion to its length before it fails
MOST_REMEMBERED = 4096  # tokens; the longest would take 32 MiB
LEEWAY = 30  # seconds that the issuer's clock may differ from ours
SHORTEST_SECRET = 32  # bytes, by RFC 7518 section 3.2
PUBLIC_SECRET = "better-auth-secret-12345678901234567890"  # Better Auth's own fallback, known to everybody

_TYPES = {"jwt", "at+jwt"}
_PUBLISHED_ALGORITHMS = {name for names in ALGORITHMS.values() for name in names}
_SESSION_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}(\.[A-Za-z0-9+/=_%-]+)?")
_SESSION_TOKEN_HINT = "This is a session token. Send the JWT from /api/auth/token instead."
_CHECKED_HERE: Options = {"verify_iss": False, "verify_aud": False, "require": ["exp", "sub"]}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say about who made it (`iss`) and whom it is for (`aud`), where it says so at all.

    `demanded` names the claims that it must have. A token for a named audience is refused where none is expected.
    """

    issuer: str | None = None
    audience: str | None = None
    demanded: frozenset[str] = frozenset()

    def fits(self, claims: dict[str, Any]) -> bool:
        if any(claims.get(name) is None for name in self.demanded):
            return False
        if self.issuer is not None and claims.get("iss", self.issuer) != self.issuer:
            return False
        if self.audience is None:
            return "aud" not in claims
        audience = claims.get("aud", self.audience)
        return self.audience in (audience if isinstance(audience, list) else [audience])


class BetterAuthIdentityProvider(IdentityProvider):
    """Accepts tokens that are signed with one of the secrets (HS256), the current one first, or with a published key.

    A token that was found to be good is remembered, because checking it costs a hundred times as much.
    """

    def __init__(
        self,
        secrets: Sequence[str],
        expected: Expected,
        published: PublishedKeys | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Raises ValueError for a secret that is no secret."""
        self.remembered = self.checked = 0
        """Calls since the start whose token was accepted: from memory, and after it was checked."""
        self._secrets = [_symmetric_key(secret) for secret in secrets]
        self._published = published
        self._expected = expected
        self._expected_of_published = replace(expected, demanded=frozenset({"iss", "aud"}))
        self._remembered = _Remembered(now)

    async def identify(self, token: str) -> UserId:
        if self._published:
            self._published.keep_fresh()  # here too, or nobody would notice that the key of a remembered token is gone
        user = self._remembered.user(token, self._version)
        if user is not None:
            self.remembered += 1
            return user
        user = await self._check(token)
        self.checked += 1
        return user

    @property
    def _version(self) -> int:
        """Of the keys that tokens are checked with. The secrets stay the same."""
        return self._published.version if self._published else 0

    async def _check(self, token: str) -> UserId:
        if len(token) > LONGEST_TOKEN:
            raise NotAuthenticated
        if _SESSION_TOKEN.fullmatch(token):
            raise WrongCredentialType(_SESSION_TOKEN_HINT)
        try:
            claims = await self._claims(token)
            user = _user(claims)
        except jwt.ExpiredSignatureError:
            raise CredentialsExpired from None
        except (jwt.PyJWTError, InvalidValue):
            raise NotAuthenticated from None
        self._remembered.add(token, self._version, user, claims["exp"])
        return user

    async def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        keys, expected = await self._candidates(header)
        for key in keys:
            try:
                claims = jwt.decode(token, key, [key.algorithm_name], _CHECKED_HERE, leeway=LEEWAY)
            except jwt.InvalidSignatureError:
                continue
            if not expected.fits(claims):
                raise jwt.InvalidTokenError
            return claims
        raise jwt.InvalidSignatureError

    async def _candidates(self, header: dict[str, Any]) -> tuple[Sequence[jwt.PyJWK], Expected]:
        """The keys that may have signed it, and what they vouch for.

        Each key checks by its own algorithm, whatever the header asks for: a secret is never taken for a public key,
        nor a public key for a secret (RFC 8725 section 2.1).
        """
        algorithm, kid = str(header.get("alg")), header.get("kid")
        if str(header.get("typ", "jwt")).lower() not in _TYPES:
            return (), self._expected
        if algorithm == "HS256":
            return self._secrets, self._expected
        if self._published and algorithm in _PUBLISHED_ALGORITHMS and kid:
            keys = await self._published.find(kid)
            return [key for key in keys if key.algorithm_name == algorithm], self._expected_of_published
        return (), self._expected


class _Remembered:
    """Tokens that were found to be good, whole, with their users: until they expire or the keys are others."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._version = 0
        self._good: dict[str, tuple[UserId, float]] = {}

    def user(self, token: str, version: int) -> UserId | None:
        self._follow(version)
        user, expires = self._good.get(token, (None, 0.0))
        if user is not None and expires <= self._now():
            del self._good[token]
            return None
        return user

    def add(self, token: str, version: int, user: UserId, expires: float) -> None:
        self._follow(version)
        if expires > self._now():  # within the leeway it is checked each time
            if len(self._good) >= MOST_REMEMBERED:
                del self._good[next(iter(self._good))]
            self._good[token] = (user, expires)

    def _follow(self, version: int) -> None:
        if version != self._version:
            self._version = version
            self._good.clear()


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
