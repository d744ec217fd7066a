"""Verifies Better Auth's tokens (JWT, RFC 7519), signed with the shared secret or with a key of its JWKS.

The user is a non-empty string `sub`, and nothing else: e-mail verification links and cached session cookies are signed
with the same secret, and have no `sub`.
"""

import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jwt
from jwt.types import Options

from adapters.better_auth.jwks import ALGORITHMS, JwksClient
from adapters.better_auth.remembered_tokens import MAX_REMEMBERED, RememberedTokens
from application.ports import IdentityProvider
from domain.errors import AnonymousCaller, CredentialsExpired, InvalidValue, NotAuthenticated, WrongCredentialType
from domain.values import UserId

MAX_TOKEN = 8 * 1024  # characters; decoding junk takes time in proportion to its length before it fails
LEEWAY = 30  # seconds of clock skew between the issuer and us
MIN_SECRET_BYTES = 32  # RFC 7518 section 3.2
PUBLIC_SECRET = "better-auth-secret-12345678901234567890"  # Better Auth's own fallback, known to everyone

_TYPES = {"jwt", "at+jwt"}
_ASYMMETRIC = {name for names in ALGORITHMS.values() for name in names}
_SESSION_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}(\.[A-Za-z0-9+/=_%-]+)?")
_SESSION_TOKEN_HINT = "This is a session token. Send the JWT from /api/auth/token instead."
_ANONYMOUS_HINT = "This is the token of a visitor. Sign in, and send the token of the session."
_OPTIONS: Options = {"verify_iss": False, "verify_aud": False, "require": ["exp", "sub"]}


@dataclass(frozen=True, slots=True)
class ExpectedClaims:
    """Issuer (`iss`) and audience (`aud`) that a token must have if it names any. `required` lists those it must name.

    Where no audience is expected, a token that names one is rejected.
    """

    issuer: str | None = None
    audience: str | None = None
    required: frozenset[str] = frozenset()

    def accepts(self, claims: dict[str, Any]) -> bool:
        if any(claims.get(name) is None for name in self.required):
            return False
        if self.issuer is not None and claims.get("iss", self.issuer) != self.issuer:
            return False
        if self.audience is None:
            return "aud" not in claims
        audience = claims.get("aud", self.audience)
        return self.audience in (audience if isinstance(audience, list) else [audience])


NO_OTHERS: Mapping[str, JwksClient] = {}
_REQUIRED = frozenset({"iss", "aud"})  # of tokens that are signed with a key of a JWKS


class BetterAuthIdentityProvider(IdentityProvider):
    """Accepts tokens signed with one of the secrets (HS256; the current secret first) or with a key of the JWKS.

    Verified tokens are remembered until they expire or the keys change: verifying costs a hundred times as much as a
    lookup. Refused ones are for a second, so that a client that repeats one costs little. `max_remembered=0` switches
    both off.

    `others`: further issuers by their origin, which is the `iss` and the `aud` of their tokens, each with its own keys.
    A token is verified with the keys of the issuer that it names, and with no others; users of these issuers are pairs
    of issuer and `sub`.
    """

    def __init__(
        self,
        secrets: Sequence[str],
        expected: ExpectedClaims,
        jwks: JwksClient | None = None,
        now: Callable[[], float] = time.time,
        *,
        others: Mapping[str, JwksClient] = NO_OTHERS,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        """Raises ValueError for an unusable secret."""
        self.remembered = self.verified = 0
        """Calls whose token was accepted: remembered, and verified by this call."""
        self._secrets = [_symmetric_key(secret) for secret in secrets]
        self._jwks = jwks
        self._expected = expected
        self._others = others
        self._key_sets = [*([jwks] if jwks else []), *others.values()]
        self._remembered = RememberedTokens(now, max_remembered)

    async def identify(self, token: str) -> UserId:
        if len(token) > MAX_TOKEN:
            raise NotAuthenticated
        for key_set in self._key_sets:
            key_set.refresh_if_stale()  # here too, or remembered tokens would hide that their key was withdrawn
        user = self._remembered.user(token, self._key_version)
        if user is not None:
            self.remembered += 1
            return user
        self._remembered.refuse_again(token, self._key_version)
        try:
            user = await self._verify(token)
        except NotAuthenticated as refusal:
            self._remembered.add_refusal(token, self._key_version, refusal)
            raise
        self.verified += 1
        return user

    @property
    def _key_version(self) -> int:
        """Changes when a JWKS does. The secrets never change."""
        return sum(key_set.version for key_set in self._key_sets)

    async def _verify(self, token: str) -> UserId:
        if _SESSION_TOKEN.fullmatch(token):
            raise WrongCredentialType(_SESSION_TOKEN_HINT)
        try:
            issuer = self._other_issuer(token)
            claims = await self._claims(token, issuer)
            user = _user(claims, issuer)
        except jwt.ExpiredSignatureError:
            raise CredentialsExpired from None
        except (jwt.PyJWTError, InvalidValue):
            raise NotAuthenticated from None
        self._remembered.add(token, self._key_version, user, claims["exp"])
        return user

    def _other_issuer(self, token: str) -> str | None:
        """Which of the other issuers the token names, unverified. None for the usual one, and for a token without
        `iss`: whether it must have one, and which, is checked with the signature."""
        if not self._others:
            return None
        named = jwt.decode(token, options={"verify_signature": False}).get("iss", self._expected.issuer)
        if named == self._expected.issuer:
            return None
        if not isinstance(named, str) or named not in self._others:
            raise jwt.InvalidIssuerError  # before its key ID makes us fetch anything
        return named

    async def _claims(self, token: str, issuer: str | None) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        keys, expected = await self._candidates(header, issuer)
        for key in keys:
            try:
                claims = jwt.decode(token, key, [key.algorithm_name], _OPTIONS, leeway=LEEWAY)
            except jwt.InvalidSignatureError:
                continue
            if not expected.accepts(claims):
                raise jwt.InvalidTokenError
            return claims
        raise jwt.InvalidSignatureError

    async def _candidates(
        self, header: dict[str, Any], issuer: str | None
    ) -> tuple[Sequence[jwt.PyJWK], ExpectedClaims]:
        """The keys that may have signed the token, and the claims expected with them.

        Each key verifies by its own algorithm only, whatever the header says: a public key is never used as a secret,
        nor a secret as a public key (RFC 8725 section 2.1).
        """
        algorithm, kid = str(header.get("alg")), header.get("kid")
        expected = ExpectedClaims(issuer, issuer) if issuer else self._expected
        key_set = self._others[issuer] if issuer else self._jwks
        if str(header.get("typ", "jwt")).lower() not in _TYPES:
            return (), expected
        if algorithm == "HS256":
            return () if issuer else self._secrets, expected
        if key_set and algorithm in _ASYMMETRIC and kid:
            keys = await key_set.find(kid)
            return [key for key in keys if key.algorithm_name == algorithm], replace(expected, required=_REQUIRED)
        return (), expected


def _user(claims: dict[str, Any], issuer: str | None) -> UserId:
    if claims.get("role") == "anonymous":  # Neon Auth gives such tokens to every visitor
        raise AnonymousCaller(_ANONYMOUS_HINT)
    if type(claims["exp"]) not in (int, float):  # NumericDate (RFC 7519 section 2); PyJWT also accepts a string
        raise jwt.InvalidTokenError
    return UserId(claims["sub"], issuer)


def _symmetric_key(secret: str) -> jwt.PyJWK:
    """Better Auth's HMAC key is the secret's UTF-8 bytes, neither decoded nor derived."""
    key = urlsafe_b64encode(checked_secret(secret).encode()).decode()
    return jwt.PyJWK({"kty": "oct", "alg": "HS256", "k": key})


def checked_secret(secret: str) -> str:
    """Returns the secret. Raises ValueError for a short or publicly known one; the message never contains it."""
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"must have at least {MIN_SECRET_BYTES} bytes: generate one with `openssl rand -base64 32`")
    if secret == PUBLIC_SECRET:
        raise ValueError("is Better Auth's public default: generate one with `openssl rand -base64 32`")
    return secret


def sign(user: UserId, secret: str, expected: ExpectedClaims, *, seconds: int) -> str:
    """A token for development, valid for so many seconds wherever the secret is accepted."""
    now = int(time.time())
    claims = {"sub": user, "iat": now, "exp": now + seconds, "iss": expected.issuer, "aud": expected.audience}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, "HS256")
