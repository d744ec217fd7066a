"""Better Auth's key set (JWKS, RFC 7517): fetched rarely, cached, and kept through outages.

The endpoint may be slow, down, rate limited or broken. Whatever it sends, there is one fetch at a time with a pause
between two, the event loop is never blocked, and callers get keys or IdentityUnavailable.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import httpx2
import jwt
import orjson
import structlog

from adapters.better_auth.http_client import http_client
from domain.errors import IdentityUnavailable

ALGORITHMS: Mapping[tuple[str, str], Sequence[str]] = {
    ("OKP", "Ed25519"): ("EdDSA",),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-521"): ("ES512",),
    ("RSA", ""): ("RS256", "PS256"),
}
"""Algorithms by key type and curve. The first is the default of keys without `alg`."""

MAX_BYTES = 64 * 1024
MAX_KEYS = 64
MAX_MODULUS = 8192 // 6 + 2  # characters of base64, for an RSA key of 8192 bits
MAX_WAITING = 200  # callers that wait for one fetch

Keys = Mapping[str, Sequence[jwt.PyJWK]]
"""By key ID. A broken set may contain an ID twice."""

_log = structlog.get_logger()


class _InvalidKeySet(Exception):
    """The response is not a usable JWKS."""


_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, TimeoutError, ValueError, _InvalidKeySet)
"""Of one fetch."""


class JwksClient:
    """Caches the key set at one URL: the first of several that responds with one, tried in order. All times are in
    seconds."""

    def __init__(
        self,
        *urls: str,
        pause: float = 1,
        pause_after_failure: float = 5,
        timeout: float = 3,
        fresh: float = 600,
        max_age: float = 86_400,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pause`: least time between the starts of two fetches. `pause_after_failure`: the same after a failure, while
        there are keys to go on with; without any, every token waits for them. `timeout`: of a whole fetch. `fresh`: an
        older key set is refreshed in the background, and used meanwhile. `max_age`: an older key set is no longer used.

        A process makes at most ten requests in 10 s, however many unknown key IDs it is sent; Better Auth's endpoint
        allows 100 from all clients together. Raises InvalidEnvironment.
        """
        self.version = 0
        """Changes when the keys change."""
        self.failure = ""
        """Why the last failed fetch failed: an HTTP status, or the type of an error."""
        self.urls: Sequence[str] = urls
        """Where the key set may be; a single one once it has been found."""
        self._pause, self._pause_after_failure = pause, pause_after_failure
        self._timeout, self._fresh, self._max_age, self._now = timeout, fresh, max_age, now
        self._client = http_client()
        self._keys: Keys = {}
        self._body = b""
        self._fetched_at = self._started_at = -math.inf
        self._succeeded = True
        self._fetching: asyncio.Task[None] | None = None
        self._fetches = self._waiting = 0

    @property
    def age(self) -> float:
        """Time since a key set was last fetched; infinite before that."""
        return self._now() - self._fetched_at

    async def find(self, kid: str) -> Sequence[jwt.PyJWK]:
        """The keys with this ID; empty if there is none in the current key set. Raises IdentityUnavailable if there is
        no current key set.

        An unknown ID waits for a new key set: an ID that does not exist is answered after about `pause` seconds.
        """
        self.refresh_if_stale()
        if kid not in self._usable():
            await self._wait_for_refresh(lambda: kid in self._usable())
        usable = self._usable()
        if not usable:
            raise IdentityUnavailable
        return usable.get(kid, ())

    def refresh_if_stale(self) -> None:
        """Starts a fetch in the background if there is a key set, and it is no longer fresh."""
        if self._keys and self.age > self._fresh and self._next_fetch_in() <= 0:
            self.refresh()

    async def algorithms(self) -> Sequence[str]:
        """The algorithms of the keys in the set, sorted. Raises IdentityUnavailable."""
        if not self._usable():
            await self._wait_for_refresh(lambda: bool(self._usable()))
        if not self._usable():
            raise IdentityUnavailable
        return sorted({key.algorithm_name for keys in self._usable().values() for key in keys})

    def refresh(self) -> asyncio.Task[None]:
        """Starts a fetch in the background, or returns the one in progress."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
        await self._client.aclose()

    def _next_fetch_in(self) -> float:
        pause = self._pause_after_failure if not self._succeeded and self._usable() else self._pause
        return self._started_at + pause - self._now()

    def _usable(self) -> Keys:
        return self._keys if self.age <= self._max_age else {}

    async def _wait_for_refresh(self, until: Callable[[], bool]) -> None:
        """Returns when `until` holds, or after a fetch that started after this call.

        Better Auth publishes a key when it first signs with it, so a fetch in progress may be too early to contain the
        key. If the next fetch may not start yet, the call waits for it, so a valid token is delayed but never refused.
        Raises IdentityUnavailable if the fetch fails, or if the last one failed and may not be repeated yet.
        """
        if self._waiting >= MAX_WAITING:
            raise IdentityUnavailable
        fetches = self._fetches
        self._waiting += 1
        try:
            while self._fetches == fetches and not until():
                if self._succeeded or self._fetching or self._next_fetch_in() <= 0:
                    await asyncio.shield(self.refresh())
                if not self._succeeded:
                    raise IdentityUnavailable
        finally:
            self._waiting -= 1

    async def _fetch(self) -> None:
        try:
            await asyncio.sleep(self._next_fetch_in())
            self._started_at = self._now()
            self._fetches += 1
            body, keys = await self._find_key_set()
        except _FAILURES as reason:
            if self._succeeded:
                _log.warning("JWKS unavailable", reason=type(reason).__name__, cached_keys=len(self._keys))
            self._succeeded = False
            self.failure = str(reason) if isinstance(reason, _InvalidKeySet) else type(reason).__name__
        else:
            if not self._succeeded:
                _log.info("JWKS available", keys=len(keys or self._keys))
            self._succeeded = True
            if keys:  # an empty set is a legal response, and no reason to drop the cached keys
                self.version += body != self._body
                self._keys, self._body, self._fetched_at = keys, body, self._now()
        finally:
            self._fetching = None

    async def _find_key_set(self) -> tuple[bytes, Keys]:
        """Raises one of _FAILURES, that of the last URL."""
        *first, last = self.urls
        for url in first:
            with suppress(*_FAILURES):
                return await self._key_set(url)
        return await self._key_set(last)

    async def _key_set(self, url: str) -> tuple[bytes, Keys]:
        async with asyncio.timeout(self._timeout / len(self.urls)):
            body = await self._read(url)
            keys = _parse(body)
        self.urls = (url,)
        return body, keys

    async def _read(self, url: str) -> bytes:
        async with self._client.stream("GET", url, timeout=self._timeout) as response:
            if response.status_code != 200:
                raise _InvalidKeySet(f"HTTP {response.status_code}")
            if "content-encoding" in response.headers:
                raise _InvalidKeySet("compressed")
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise _InvalidKeySet(f"over {MAX_BYTES} bytes")
            return body


def _parse(body: bytes) -> Keys:
    """Raises _InvalidKeySet, and ValueError for invalid JSON."""
    document = orjson.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise _InvalidKeySet("not a key set")
    keys = defaultdict(list)
    for jwk in entries:
        key = _public_key(jwk) if isinstance(jwk, dict) else None
        if key is not None:
            keys[jwk["kid"]].append(key)
    if entries and not keys:
        raise _InvalidKeySet("no supported key")
    return dict(keys)


def _public_key(jwk: dict[str, object]) -> jwt.PyJWK | None:
    """The key, bound to its one algorithm. None for an unsupported type or use, a weak or invalid key, or a missing ID.

    Reads public members only, so a symmetric key in the set can never become a verification key.
    """
    members = {name: str(jwk[name]) for name in ("kty", "crv", "x", "y", "n", "e") if isinstance(jwk.get(name), str)}
    algorithms = ALGORITHMS.get((members.get("kty", ""), members.get("crv", "")), ())
    algorithm = jwk.get("alg", next(iter(algorithms), None))
    has_id = isinstance(jwk.get("kid"), str) and jwk["kid"]
    if not has_id or jwk.get("use", "sig") != "sig" or algorithm not in algorithms:
        return None
    if len(members.get("n", "")) > MAX_MODULUS:
        return None
    try:
        key = jwt.PyJWK(members, str(algorithm))
    except jwt.PyJWTError:
        return None
    return None if key.Algorithm.check_key_length(key.key) else key
