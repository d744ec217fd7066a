"""The cached key set: what is fetched when, what is kept, and what a broken endpoint can do (nothing)."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.better_auth.jwks import MAX_BYTES, MAX_KEYS, MAX_WAITING, JwksClient
from domain.errors import IdentityUnavailable
from tests.identity.issuer import ALGORITHMS, Behaviour, KeyServer, answer, key_server, key_set, public_jwk

ED = public_jwk("EdDSA")
TIMEOUT = 60  # seconds; never passes by itself, only when a test says so


class Clock:
    """The client's clock, which stands still until a test advances it. The event loop's clock is advanced with it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._now = 1000.0
        self._real = loop.time
        self._skipped = 0.0

    def __call__(self) -> float:
        return self._now

    def loop_time(self) -> float:
        return self._real() + self._skipped

    def advance(self, seconds: float) -> None:
        """Ends pauses and timeouts of so many seconds."""
        self._now += seconds
        self._skipped += seconds

    def expire_timeout(self) -> None:
        """Ends the timeout of a fetch without advancing the client's clock."""
        self._skipped += TIMEOUT


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    monkeypatch.setattr(loop, "time", clock.loop_time)
    return clock


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with key_server(key_set(ED)) as running:
        yield running


@pytest.fixture
async def keys(server: KeyServer, clock: Clock) -> AsyncIterator[JwksClient]:
    client = JwksClient(server.url, now=clock, timeout=TIMEOUT)
    yield client
    await client.close()


async def known(keys: JwksClient, kid: str = "EdDSA-0") -> bool:
    return bool(await keys.find(kid))


async def unavailable(keys: JwksClient, kid: str = "EdDSA-0") -> None:
    with pytest.raises(IdentityUnavailable):
        await keys.find(kid)


async def settled(keys: JwksClient) -> None:
    """Returns when the fetch in the background has ended."""
    if keys._fetching:
        await asyncio.shield(keys._fetching)


async def turns() -> None:
    """Lets all other tasks run until they wait for something."""
    for _ in range(100):
        await asyncio.sleep(0)


# When the key set is fetched


async def test_nothing_is_fetched_before_it_is_needed(keys: JwksClient, server: KeyServer) -> None:
    assert server.count == 0
    assert await known(keys)
    assert server.count == 1


async def test_known_keys_are_not_fetched_again(keys: JwksClient, server: KeyServer) -> None:
    for _ in range(100):
        assert await known(keys)
    assert server.count == 1


async def test_concurrent_callers_share_one_fetch(keys: JwksClient, server: KeyServer) -> None:
    assert all(await asyncio.gather(*(known(keys) for _ in range(100))))
    assert server.count == 1


async def test_warming_up_does_not_wait(keys: JwksClient, server: KeyServer) -> None:
    keys.refresh()
    assert server.count == 0
    await settled(keys)
    assert await known(keys)
    assert server.count == 1


async def test_a_stale_key_set_remains_in_use_during_a_refresh(
    keys: JwksClient, server: KeyServer, clock: Clock
) -> None:
    assert await known(keys)
    clock.advance(601)
    server.behaviour = key_set(public_jwk("EdDSA", 1))
    assert await known(keys), "served without waiting"
    await settled(keys)
    assert server.count == 2
    assert await known(keys, "EdDSA-1")
    clock.advance(6)
    assert not await known(keys)


async def test_an_unknown_key_id_causes_one_fetch(keys: JwksClient, server: KeyServer, clock: Clock) -> None:
    assert await known(keys)
    clock.advance(6)
    server.behaviour = key_set(ED, public_jwk("ES256"))
    assert await known(keys, "ES256-0")
    assert server.count == 2
    clock.advance(6)
    assert not await known(keys, "nonsense")
    assert server.count == 3


async def test_a_key_made_right_after_a_fetch_is_waited_for_and_not_refused(
    keys: JwksClient, server: KeyServer, clock: Clock
) -> None:
    assert await known(keys)
    server.behaviour = key_set(ED, public_jwk("EdDSA", 1))
    caller = asyncio.create_task(known(keys, "EdDSA-1"))
    await turns()
    assert server.count == 1
    clock.advance(1)
    assert await caller
    assert server.count == 2


async def test_an_unknown_key_id_is_answered_one_second_after_a_successful_fetch(
    keys: JwksClient, server: KeyServer, clock: Clock
) -> None:
    assert await known(keys)
    caller = asyncio.create_task(known(keys, "nonsense"))
    await turns()
    clock.advance(0.9)
    await turns()
    assert server.count == 1
    assert not caller.done()
    clock.advance(0.1)
    assert not await caller
    assert server.count == 2


async def test_after_a_failed_fetch_the_next_starts_five_seconds_later(
    keys: JwksClient, server: KeyServer, clock: Clock
) -> None:
    assert await known(keys)
    clock.advance(1)
    server.behaviour = reset
    await unavailable(keys, "another")
    for seconds in (1, 3.9):
        clock.advance(seconds)
        await unavailable(keys, "another")
    assert server.count == 2
    server.behaviour = key_set(ED)
    clock.advance(0.2)
    assert not await known(keys, "another")
    assert server.count == 3


async def test_without_any_keys_the_next_fetch_starts_a_second_after_a_failed_one(
    keys: JwksClient, server: KeyServer, clock: Clock
) -> None:
    """Better Auth may start after this server: the first users must not wait for long."""
    server.behaviour = reset
    await unavailable(keys)
    clock.advance(0.9)
    await unavailable(keys)
    assert server.count == 1
    server.behaviour = key_set(ED)
    clock.advance(0.2)
    assert await known(keys)
    assert server.count == 2


async def test_a_key_in_the_fetch_in_progress_is_not_waited_for_any_longer(keys: JwksClient, server: KeyServer) -> None:
    released = asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        await released.wait()
        await key_set(ED)(writer)

    server.behaviour = slow
    keys.refresh()
    await server.requests(1)
    caller = asyncio.create_task(known(keys))
    await turns()
    released.set()
    assert await caller
    assert server.count == 1


async def test_a_key_made_during_a_fetch_is_found_by_the_next(
    keys: JwksClient, server: KeyServer, clock: Clock
) -> None:
    released = asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        await released.wait()
        await key_set(ED)(writer)
        server.behaviour = key_set(ED, public_jwk("EdDSA", 1))

    server.behaviour = slow
    first = asyncio.create_task(known(keys))
    await server.requests(1)
    newcomer = asyncio.create_task(known(keys, "EdDSA-1"))
    await turns()
    released.set()
    assert await first
    clock.advance(1)
    assert await newcomer
    assert server.count == 2


async def test_invented_key_ids_cause_at_most_one_fetch_per_pause(
    keys: JwksClient, server: KeyServer, clock: Clock
) -> None:
    assert await known(keys)
    for fetches in (1, 2, 3):
        callers = asyncio.gather(*(known(keys, f"invented {number}") for number in range(50)))
        await turns()
        assert server.count == fetches
        clock.advance(1)
        assert not any(await callers)
        assert server.count == fetches + 1


async def test_the_number_of_callers_that_wait_for_a_fetch_is_bounded(keys: JwksClient, server: KeyServer) -> None:
    outcomes = await asyncio.gather(*(known(keys) for _ in range(MAX_WAITING + 50)), return_exceptions=True)
    assert outcomes.count(True) == MAX_WAITING
    assert sum(isinstance(outcome, IdentityUnavailable) for outcome in outcomes) == 50
    assert await known(keys)


async def test_cancelling_one_caller_does_not_affect_the_others(keys: JwksClient, server: KeyServer) -> None:
    released = asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        await released.wait()
        await key_set(ED)(writer)

    server.behaviour = slow
    cancelled, waiting = asyncio.create_task(known(keys)), asyncio.create_task(known(keys))
    await server.requests(1)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    released.set()
    assert await waiting
    assert server.count == 1


# Outages


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


ENDLESS = (drip, silence)
BROKEN: dict[str, Behaviour] = {
    "HTML": answer(b"<!doctype html><title>Welcome</title>"),
    "nothing": answer(b""),
    "an error": answer(b'{"message": "no"}', "500 Internal Server Error"),
    "not found": answer(b"", "404 Not Found"),
    "too many requests": answer(b'{"message": "slow down"}', "429 Too Many Requests", "Retry-After: 10\r\n"),
    "a redirect": answer(b"", "302 Found", "Location: http://127.0.0.1:9/jwks\r\n"),
    "another redirect with keys": answer(json.dumps({"keys": [ED]}).encode(), "301 Moved", "Location: /\r\n"),
    "a reset": reset,
    "a slow drip": drip,
    "silence": silence,
    "no HTTP": lambda writer: _raw(writer, b"220 smtp ready\r\n"),
    "half an answer": lambda writer: _raw(writer, b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"keys": ['),
    "a megabyte": answer(b" " * 1_000_000 + json.dumps({"keys": [ED]}).encode()),
    "endless": lambda writer: _endless(writer),
    "compressed": answer(b"\x1f\x8b", headers="Content-Encoding: gzip\r\n"),
    "a list": answer(json.dumps([ED]).encode()),
    "no keys": answer(b"{}"),
    "keys that are none": answer(b'{"keys": [null, 5, "x", [], {}]}'),
    "keys that are no list": answer(b'{"keys": {"a": 1}}'),
    "deep nesting": answer(b'{"keys": ' + b"[" * 30_000),
    "NaN": answer(b'{"keys": NaN}'),
    "not UTF-8": answer(b'{"keys": "\xff"}'),
    "too many keys": key_set(*[{**ED, "kid": str(number)} for number in range(MAX_KEYS + 1)]),
}


async def _raw(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
        await writer.drain()


async def timeout_expires(server: KeyServer, clock: Clock, requests: int) -> None:
    """Ends a fetch that would never end, as soon as its request has reached the server."""
    if server.behaviour in ENDLESS:
        await server.requests(requests)
        clock.expire_timeout()


@pytest.mark.parametrize("behaviour", BROKEN.values(), ids=BROKEN)
async def test_whatever_a_broken_endpoint_sends_cached_keys_remain_in_use(
    keys: JwksClient, server: KeyServer, clock: Clock, behaviour: Behaviour
) -> None:
    assert await known(keys)
    server.behaviour = behaviour
    clock.advance(601)
    assert await known(keys)
    await asyncio.gather(settled(keys), timeout_expires(server, clock, requests=2))
    clock.advance(6)
    await asyncio.gather(unavailable(keys, "another"), timeout_expires(server, clock, requests=3))
    assert server.count == 3
    assert await known(keys)


@pytest.mark.parametrize("behaviour", BROKEN.values(), ids=BROKEN)
async def test_without_cached_keys_a_broken_endpoint_is_asked_once_per_pause(
    keys: JwksClient, server: KeyServer, clock: Clock, behaviour: Behaviour
) -> None:
    server.behaviour = behaviour
    await asyncio.gather(unavailable(keys), timeout_expires(server, clock, requests=1))
    for _ in range(9):
        await unavailable(keys)
    assert server.count == 1
    clock.advance(6)
    server.behaviour = key_set(ED)
    assert await known(keys), "it recovers"
    assert server.count == 2


async def test_an_endpoint_that_refuses_connections_is_tried_again_after_the_pause(clock: Clock) -> None:
    keys = JwksClient("http://127.0.0.1:1/jwks", now=clock)
    await unavailable(keys)
    await unavailable(keys)
    assert keys._fetches == 1
    clock.advance(6)
    await unavailable(keys)
    assert keys._fetches == 2
    await keys.close()


async def test_the_key_set_remains_in_use_through_an_outage_of_a_day_and_no_longer(
    keys: JwksClient, server: KeyServer, clock: Clock
) -> None:
    assert await known(keys)
    server.behaviour = reset
    clock.advance(86_399)
    assert await known(keys)
    await settled(keys)
    clock.advance(6)
    await unavailable(keys)
    clock.advance(6)
    server.behaviour = key_set(ED)
    assert await known(keys)


async def test_an_empty_key_set_does_not_replace_the_cached_one(
    keys: JwksClient, server: KeyServer, clock: Clock
) -> None:
    assert await known(keys)
    server.behaviour = key_set()
    clock.advance(601)
    assert await known(keys)
    await settled(keys)
    assert await known(keys)
    clock.advance(6)
    assert not await known(keys, "another")


async def test_without_cached_keys_an_empty_key_set_means_unavailable(keys: JwksClient, server: KeyServer) -> None:
    server.behaviour = key_set()
    await unavailable(keys)


async def test_a_fetch_does_not_block_the_event_loop(keys: JwksClient, server: KeyServer, clock: Clock) -> None:
    server.behaviour = silence
    fetching = asyncio.create_task(unavailable(keys))
    await server.requests(1)
    await turns()
    assert not fetching.done()
    clock.expire_timeout()
    await fetching


# Which keys


async def found(*listed: object, kid: str = "k") -> list[str]:
    """Algorithms of the keys with that ID, in a key set of these entries and a valid one."""
    good = public_jwk("EdDSA", kid="good")
    async with key_server(answer(json.dumps({"keys": [*listed, good]}).encode())) as server:
        keys = JwksClient(server.url)
        try:
            return [key.algorithm_name for key in await keys.find(kid)]
        finally:
            await keys.close()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_keys_of_all_algorithms_of_better_auth_are_supported(algorithm: str) -> None:
    assert await found(public_jwk(algorithm), kid=f"{algorithm}-0") == [algorithm]


async def test_a_key_set_may_contain_several_algorithms() -> None:
    everything = [public_jwk(algorithm) for algorithm in ALGORITHMS]
    for algorithm in ALGORITHMS:
        assert await found(*everything, kid=f"{algorithm}-0") == [algorithm]


@pytest.mark.parametrize(
    ("algorithm", "meant"), [("EdDSA", "EdDSA"), ("ES256", "ES256"), ("RS256", "RS256"), ("ES512", "ES512")]
)
async def test_a_key_without_alg_has_the_default_algorithm_of_its_type(algorithm: str, meant: str) -> None:
    jwk = public_jwk(algorithm, kid="k")
    del jwk["alg"]
    assert await found(jwk) == [meant]


def without(jwk: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name not in names}


SECRET_KEY = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "k"}


@pytest.mark.parametrize(
    "jwk",
    [
        SECRET_KEY,
        {**SECRET_KEY, "alg": "HS256"},
        {**SECRET_KEY, "alg": "EdDSA"},
        public_jwk("EdDSA", kid="k", alg="none"),
        public_jwk("EdDSA", kid="k", alg="HS256"),
        public_jwk("EdDSA", kid="k", alg="ES256"),
        public_jwk("ES256", kid="k", alg="RS256"),
        public_jwk("RS256", kid="k", alg="EdDSA"),
        public_jwk("RS256", kid="k", alg="RS512"),
        public_jwk("RS256", kid="k", alg=["RS256"]),
        public_jwk("RS256", kid="k", alg=5),
        public_jwk("EdDSA", kid="k", use="enc"),
        public_jwk("EdDSA", kid="k", kty="EC"),
        public_jwk("EdDSA", kid="k", crv="Ed448"),
        public_jwk("EdDSA", kid="k", crv="X25519"),
        public_jwk("ES256", kid="k", crv="P-384"),
        public_jwk("ES256", kid="k", crv=["P-256"]),
        public_jwk("EdDSA", kid="k", x="!!"),
        public_jwk("EdDSA", kid="k", x="AAAA"),
        public_jwk("EdDSA", kid="k", x=5),
        public_jwk("ES256", kid="k", x="A" * 43, y="A" * 43),
        public_jwk("RS256", kid="k", n="AQAB"),
        public_jwk("RS256", kid="k", e=""),
        public_jwk("RS256", kid="k", n="A" * 10_000),
        without(public_jwk("EdDSA", kid="k"), "x"),
        without(public_jwk("EdDSA", kid="k"), "kty"),
        without(public_jwk("RS256", kid="k"), "e"),
    ],
)
async def test_unusable_keys_are_ignored(jwk: dict[str, Any]) -> None:
    assert await found(jwk) == []
    assert await found(jwk, kid="good") == ["EdDSA"]


@pytest.mark.parametrize("kid", ["", None, 5, ["k"]])
async def test_keys_without_an_id_are_ignored(kid: object) -> None:
    assert await found(public_jwk("ES256", kid=kid), kid="good") == ["EdDSA"]


async def test_all_keys_with_the_same_id_are_candidates() -> None:
    assert await found(public_jwk("EdDSA", 1, kid="k"), public_jwk("EdDSA", 2, kid="k")) == ["EdDSA", "EdDSA"]


async def test_private_members_of_a_key_are_not_read() -> None:
    assert await found(public_jwk("EdDSA", kid="k", d="AAAA")) == ["EdDSA"]


async def test_a_key_set_of_the_maximum_size_is_read(server: KeyServer, keys: JwksClient) -> None:
    body = json.dumps({"keys": [ED]}).encode()
    server.behaviour = answer(body + b" " * (MAX_BYTES - len(body)))
    assert await known(keys)


async def test_the_version_changes_when_the_keys_change(keys: JwksClient, server: KeyServer, clock: Clock) -> None:
    assert await known(keys)
    version = keys.version
    clock.advance(601)
    assert await known(keys)
    await settled(keys)
    assert (server.count, keys.version) == (2, version)
    clock.advance(601)
    server.behaviour = key_set(ED, public_jwk("ES256"))
    assert await known(keys)
    await settled(keys)
    assert keys.version != version
