"""The public keys that Better Auth publishes (JWKS, RFC 7517): fetched rarely, kept through outages.

The endpoint is somebody else's: it may be slow, gone, limited or broken. Whatever it sends, there is one fetch at a
time and one in `gap` seconds, the event loop goes on, and callers get keys or IdentityUnavailable.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import httpx2
import jwt
import orjson
import structlog

from domain.errors import IdentityUnavailable

ALGORITHMS: Mapping[tuple[str, str], Sequence[str]] = {
    ("OKP", "Ed25519"): ("EdDSA",),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-521"): ("ES512",),
    ("RSA", ""): ("RS256", "PS256"),
}
"""What keys of a type and curve are good for. The first is meant where a key does not say."""

LONGEST_SET = 64 * 1024  # bytes
MOST_KEYS = 64
LONGEST_MODULUS = 8192 // 6 + 2  # characters of base64, for an RSA key of 8192 bits
MOST_WAITING = 200  # callers for one fetch; more are told to come back

Keys = Mapping[str, Sequence[jwt.PyJWK]]
"""By key id. A broken set may hold an id twice."""

_log = structlog.get_logger()


class _Useless(Exception):
    """What came is no set of keys that can be used."""


class PublishedKeys:
    """The keys at one address. Times are in seconds."""

    def __init__(
        self,
        url: str,
        *,
        gap: float = 5,
        timeout: float = 3,
        fresh: float = 600,
        oldest: float = 86_400,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`gap`: the least time from one fetch to the next, failed or not. `timeout`: for a whole fetch. `fresh`: keys
        that are older serve on while new ones are fetched. `oldest`: keys that are older serve no more.
        """
        self.version = 0
        """Another number when the keys are others."""
        self._url = url
        self._gap, self._timeout, self._fresh, self._oldest, self._now = gap, timeout, fresh, oldest, now
        self._client = httpx2.AsyncClient(follow_redirects=False, headers={"Accept-Encoding": "identity"})
        self._keys: Keys = {}
        self._body = b""
        self._fetched = self._tried = -math.inf
        self._works = True
        self._fetching: asyncio.Task[None] | None = None
        self._begun = self._waiting = 0

    @property
    def age(self) -> float:
        """Since the keys were last found at their address; infinite before that."""
        return self._now() - self._fetched

    async def find(self, kid: str) -> Sequence[jwt.PyJWK]:
        """The keys with this id; none if Better Auth has none. Raises IdentityUnavailable where that is not known."""
        self.keep_fresh()
        if kid not in self._usable():
            await self._hear_of_new_keys(lambda: kid in self._usable())
        usable = self._usable()
        if not usable:
            raise IdentityUnavailable
        return usable.get(kid, ())

    def keep_fresh(self) -> None:
        """Begins to fetch in the background where there are keys, older than they should be."""
        if self._keys and self.age > self._fresh and self._may_fetch():
            self.refresh()

    async def algorithms(self) -> Sequence[str]:
        """What the published keys are good for. Raises IdentityUnavailable."""
        if not self._usable():
            await self._hear_of_new_keys(lambda: bool(self._usable()))
        if not self._usable():
            raise IdentityUnavailable
        return sorted({key.algorithm_name for same in self._usable().values() for key in same})

    def refresh(self) -> asyncio.Task[None]:
        """Begins to fetch, unless that has begun already, and does not wait."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
        await self._client.aclose()

    def _may_fetch(self) -> bool:
        return self._now() - self._tried >= self._gap

    def _usable(self) -> Keys:
        return self._keys if self.age <= self._oldest else {}

    async def _hear_of_new_keys(self, enough: Callable[[], bool]) -> None:
        """Returns when there is enough, or after a fetch that began after the call: Better Auth publishes a key when it
        first signs with it, so one that is under way may bring it and may not.

        A fetch that may not begin yet is waited for, so that a valid token is late at worst and never refused. Raises
        IdentityUnavailable if the fetch fails, or if one failed so lately that it may not be repeated.
        """
        if self._waiting >= MOST_WAITING:
            raise IdentityUnavailable
        begun = self._begun
        self._waiting += 1
        try:
            while self._begun == begun and not enough():
                if self._works or self._fetching or self._may_fetch():
                    await asyncio.shield(self.refresh())
                if not self._works:
                    raise IdentityUnavailable
        finally:
            self._waiting -= 1

    async def _fetch(self) -> None:
        try:
            await asyncio.sleep(self._tried + self._gap - self._now())
            self._tried = self._now()
            self._begun += 1
            async with asyncio.timeout(self._timeout):
                body = await self._read()
                keys = _usable_keys(body)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, TimeoutError, ValueError, _Useless) as reason:
            if self._works:
                _log.warning("keys unavailable", reason=type(reason).__name__, known=len(self._keys))
            self._works = False
        else:
            if not self._works:
                _log.info("keys available", known=len(keys or self._keys))
            self._works = True
            if keys:  # an empty set is a legal answer, and no reason to forget
                self.version += body != self._body
                self._keys, self._body, self._fetched = keys, body, self._now()
        finally:
            self._fetching = None

    async def _read(self) -> bytes:
        async with self._client.stream("GET", self._url, timeout=self._timeout) as answer:
            if answer.status_code != 200 or "content-encoding" in answer.headers:
                raise _Useless
            body = b""
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > LONGEST_SET:
                    raise _Useless
            return body


def _usable_keys(body: bytes) -> Keys:
    """Raises _Useless, and ValueError for what is no JSON."""
    document = orjson.loads(body)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise _Useless
    keys = defaultdict(list)
    for jwk in listed:
        key = _public_key(jwk) if isinstance(jwk, dict) else None
        if key is not None:
            keys[jwk["kid"]].append(key)
    if listed and not keys:
        raise _Useless
    return dict(keys)


def _public_key(jwk: dict[str, object]) -> jwt.PyJWK | None:
    """The key with its one algorithm; None for another type or use, a weak or a broken one, or one without an id.

    Only its public members are looked at, so a shared secret among them can never become a key.
    """
    parts = {name: str(jwk[name]) for name in ("kty", "crv", "x", "y", "n", "e") if isinstance(jwk.get(name), str)}
    algorithms = ALGORITHMS.get((parts.get("kty", ""), parts.get("crv", "")), ())
    algorithm = jwk.get("alg", next(iter(algorithms), None))
    named = isinstance(jwk.get("kid"), str) and jwk["kid"]
    if not named or jwk.get("use", "sig") != "sig" or algorithm not in algorithms:
        return None
    if len(parts.get("n", "")) > LONGEST_MODULUS:
        return None
    try:
        key = jwt.PyJWK(parts, str(algorithm))
    except jwt.PyJWTError:
        return None
    return None if key.Algorithm.check_key_length(key.key) else key
