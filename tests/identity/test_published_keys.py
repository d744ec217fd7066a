"""Keys by JWKS: what is fetched when, what is kept, and what a broken endpoint can do (nothing)."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.better_auth.jwks import LONGEST_SET, MOST_KEYS, MOST_WAITING, PublishedKeys
from domain.errors import IdentityUnavailable
from tests.identity.issuer import ALGORITHMS, Behaviour, KeyServer, answer, key_server, key_set, public_jwk

ED = public_jwk("EdDSA")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with key_server(key_set(ED)) as running:
        yield running


@pytest.fixture
async def keys(server: KeyServer, clock: Clock) -> AsyncIterator[PublishedKeys]:
    """Keys whose time is the test's: between two fetches it must be moved."""
    published = PublishedKeys(server.url, now=clock, timeout=1)
    yield published
    await published.close()


async def known(keys: PublishedKeys, kid: str = "EdDSA-0") -> bool:
    return bool(await keys.find(kid))


async def unavailable(keys: PublishedKeys, kid: str = "EdDSA-0") -> None:
    with pytest.raises(IdentityUnavailable):
        await keys.find(kid)


async def settled(keys: PublishedKeys) -> None:
    """After a fetch in the background has ended."""
    if keys._fetching:
        await asyncio.shield(keys._fetching)


# When it is fetched


async def test_nothing_is_fetched_before_it_is_needed(keys: PublishedKeys, server: KeyServer) -> None:
    assert server.asked == 0
    assert await known(keys)
    assert server.asked == 1


async def test_known_keys_are_not_fetched_again(keys: PublishedKeys, server: KeyServer) -> None:
    for _ in range(100):
        assert await known(keys)
    assert server.asked == 1


async def test_many_who_need_keys_at_once_share_one_fetch(keys: PublishedKeys, server: KeyServer) -> None:
    assert all(await asyncio.gather(*(known(keys) for _ in range(100))))
    assert server.asked == 1


async def test_warming_up_does_not_wait(keys: PublishedKeys, server: KeyServer) -> None:
    keys.refresh()
    assert server.asked == 0
    await settled(keys)
    assert await known(keys)
    assert server.asked == 1


async def test_old_keys_serve_while_new_ones_are_fetched(keys: PublishedKeys, server: KeyServer, clock: Clock) -> None:
    assert await known(keys)
    clock.time += 601
    server.behaviour = key_set(public_jwk("EdDSA", 1))
    assert await known(keys), "served without waiting"
    await settled(keys)
    assert server.asked == 2
    assert await known(keys, "EdDSA-1")
    clock.time += 6
    assert not await known(keys)


async def test_an_unknown_key_id_leads_to_one_fetch(keys: PublishedKeys, server: KeyServer, clock: Clock) -> None:
    assert await known(keys)
    clock.time += 6
    server.behaviour = key_set(ED, public_jwk("ES256"))
    assert await known(keys, "ES256-0")
    assert server.asked == 2
    clock.time += 6
    assert not await known(keys, "nonsense")
    assert server.asked == 3


async def test_a_key_made_a_moment_after_a_fetch_is_waited_for_and_not_refused() -> None:
    async with key_server(key_set(ED)) as server:
        keys = PublishedKeys(server.url, gap=0.2)
        assert await known(keys)
        server.behaviour = key_set(ED, public_jwk("EdDSA", 1))
        assert await known(keys, "EdDSA-1")
        assert server.asked == 2
        await keys.close()


async def test_a_key_that_a_fetch_under_way_brings_is_not_waited_for_any_longer() -> None:
    released = asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        await released.wait()
        await key_set(ED)(writer)

    async with key_server(slow) as issuer:
        keys = PublishedKeys(issuer.url, gap=0.2)
        keys.refresh()
        await issuer.came.wait()
        caller = asyncio.create_task(known(keys))
        await asyncio.sleep(0)
        released.set()
        assert await caller
        assert issuer.asked == 1
        await keys.close()


async def test_a_key_made_while_a_fetch_is_under_way_is_found_by_the_next() -> None:
    released = asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        await released.wait()
        await key_set(ED)(writer)
        issuer.behaviour = key_set(ED, public_jwk("EdDSA", 1))

    async with key_server(slow) as issuer:
        keys = PublishedKeys(issuer.url, gap=0.05)
        first = asyncio.create_task(known(keys))
        await issuer.came.wait()
        newcomer = asyncio.create_task(known(keys, "EdDSA-1"))
        await asyncio.sleep(0)
        released.set()
        assert await first
        assert await newcomer
        assert issuer.asked == 2
        await keys.close()


async def test_invented_key_ids_cannot_make_more_than_one_fetch_in_a_gap() -> None:
    async with key_server(key_set(ED)) as server:
        keys = PublishedKeys(server.url, gap=0.2)
        assert await known(keys)
        started = asyncio.get_running_loop().time()
        for _ in range(3):
            found = await asyncio.gather(*(known(keys, f"invented {number}") for number in range(50)))
            assert not any(found)
        assert server.asked <= 1 + (asyncio.get_running_loop().time() - started) / 0.2
        await keys.close()


async def test_no_more_than_so_many_wait_for_a_fetch(keys: PublishedKeys, server: KeyServer) -> None:
    outcomes = await asyncio.gather(*(known(keys) for _ in range(MOST_WAITING + 50)), return_exceptions=True)
    assert outcomes.count(True) == MOST_WAITING
    assert sum(isinstance(outcome, IdentityUnavailable) for outcome in outcomes) == 50
    assert await known(keys)


async def test_whoever_gives_up_waiting_takes_nobody_with_them(server: KeyServer) -> None:
    released = asyncio.Event()

    async def slow(writer: asyncio.StreamWriter) -> None:
        await released.wait()
        await key_set(ED)(writer)

    server.behaviour = slow
    keys = PublishedKeys(server.url)
    impatient, patient = asyncio.create_task(known(keys)), asyncio.create_task(known(keys))
    await server.came.wait()
    impatient.cancel()
    await asyncio.wait([impatient])
    released.set()
    assert await patient
    assert server.asked == 1
    await keys.close()


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
    "too many keys": key_set(*[{**ED, "kid": str(number)} for number in range(MOST_KEYS + 1)]),
}


async def _raw(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"4000\r\n" + b" " * 0x4000 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize("behaviour", BROKEN.values(), ids=BROKEN)
async def test_whatever_a_broken_endpoint_sends_keys_are_unavailable_and_old_ones_serve_on(
    server: KeyServer, clock: Clock, behaviour: Behaviour
) -> None:
    keys = PublishedKeys(server.url, now=clock, timeout=0.2)
    assert await known(keys)
    server.behaviour = behaviour
    clock.time += 601
    assert await known(keys)
    await settled(keys)
    clock.time += 6
    await unavailable(keys, "another")
    assert server.asked == 3
    assert await known(keys)
    await keys.close()


@pytest.mark.parametrize("behaviour", BROKEN.values(), ids=BROKEN)
async def test_without_any_keys_a_broken_endpoint_is_asked_once_in_a_gap(
    server: KeyServer, clock: Clock, behaviour: Behaviour
) -> None:
    server.behaviour = behaviour
    keys = PublishedKeys(server.url, now=clock, timeout=0.2)
    for _ in range(10):
        await unavailable(keys)
    assert server.asked == 1
    clock.time += 6
    server.behaviour = key_set(ED)
    assert await known(keys), "it heals"
    assert server.asked == 2
    await keys.close()


async def test_an_endpoint_that_is_not_there_is_tried_again_after_the_gap(clock: Clock) -> None:
    keys = PublishedKeys("http://127.0.0.1:1/jwks", now=clock)
    await unavailable(keys)
    await unavailable(keys)
    assert keys._begun == 1
    clock.time += 6
    await unavailable(keys)
    assert keys._begun == 2
    await keys.close()


async def test_keys_serve_through_an_outage_of_a_day_and_no_longer(
    keys: PublishedKeys, server: KeyServer, clock: Clock
) -> None:
    assert await known(keys)
    server.behaviour = reset
    clock.time += 86_399
    assert await known(keys)
    await settled(keys)
    clock.time += 6
    await unavailable(keys)
    clock.time += 6
    server.behaviour = key_set(ED)
    assert await known(keys)


async def test_an_empty_set_is_no_reason_to_forget(keys: PublishedKeys, server: KeyServer, clock: Clock) -> None:
    assert await known(keys)
    server.behaviour = key_set()
    clock.time += 601
    assert await known(keys)
    await settled(keys)
    assert await known(keys)
    clock.time += 6
    assert not await known(keys, "another")


async def test_without_any_keys_an_empty_set_is_no_answer(keys: PublishedKeys, server: KeyServer) -> None:
    server.behaviour = key_set()
    await unavailable(keys)


async def test_the_event_loop_goes_on_while_keys_are_fetched(server: KeyServer) -> None:
    server.behaviour = silence
    keys = PublishedKeys(server.url, timeout=0.3)
    fetching = asyncio.create_task(unavailable(keys))
    turns = 0
    while not fetching.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
    await keys.close()


# Which keys


async def found(*listed: object, kid: str = "k") -> list[str]:
    """The algorithms of the keys with that id, in a set of these and one that is good."""
    good = public_jwk("EdDSA", kid="good")
    async with key_server(answer(json.dumps({"keys": [*listed, good]}).encode())) as server:
        keys = PublishedKeys(server.url)
        try:
            return [key.algorithm_name for key in await keys.find(kid)]
        finally:
            await keys.close()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_keys_of_every_algorithm_of_better_auth_are_used(algorithm: str) -> None:
    assert await found(public_jwk(algorithm), kid=f"{algorithm}-0") == [algorithm]


async def test_one_set_may_hold_several_algorithms() -> None:
    everything = [public_jwk(algorithm) for algorithm in ALGORITHMS]
    for algorithm in ALGORITHMS:
        assert await found(*everything, kid=f"{algorithm}-0") == [algorithm]


@pytest.mark.parametrize(
    ("algorithm", "meant"), [("EdDSA", "EdDSA"), ("ES256", "ES256"), ("RS256", "RS256"), ("ES512", "ES512")]
)
async def test_a_key_that_does_not_name_its_algorithm_has_the_usual_one(algorithm: str, meant: str) -> None:
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
async def test_keys_that_cannot_be_used_are_passed_over(jwk: dict[str, Any]) -> None:
    assert await found(jwk) == []
    assert await found(jwk, kid="good") == ["EdDSA"]


@pytest.mark.parametrize("kid", ["", None, 5, ["k"]])
async def test_keys_without_an_id_are_passed_over(kid: object) -> None:
    assert await found(public_jwk("ES256", kid=kid), kid="good") == ["EdDSA"]


async def test_keys_with_one_id_are_all_tried() -> None:
    assert await found(public_jwk("EdDSA", 1, kid="k"), public_jwk("EdDSA", 2, kid="k")) == ["EdDSA", "EdDSA"]


async def test_private_parts_in_a_set_are_not_read() -> None:
    assert await found(public_jwk("EdDSA", kid="k", d="AAAA")) == ["EdDSA"]


async def test_the_largest_set_is_read(server: KeyServer, keys: PublishedKeys) -> None:
    body = json.dumps({"keys": [ED]}).encode()
    server.behaviour = answer(body + b" " * (LONGEST_SET - len(body)))
    assert await known(keys)


async def test_the_version_moves_when_the_keys_do(keys: PublishedKeys, server: KeyServer, clock: Clock) -> None:
    assert await known(keys)
    version = keys.version
    clock.time += 601
    assert await known(keys)
    await settled(keys)
    assert (server.asked, keys.version) == (2, version)
    clock.time += 601
    server.behaviour = key_set(ED, public_jwk("ES256"))
    assert await known(keys)
    await settled(keys)
    assert keys.version != version
