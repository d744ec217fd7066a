"""Tokens signed with a key of the JWKS, as Better Auth's jwt plugin issues them, and forgeries."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from adapters.better_auth.identity import MAX_TOKEN, BetterAuthIdentityProvider, ExpectedClaims
from adapters.better_auth.jwks import JwksClient
from adapters.better_auth.remembered_tokens import MAX_REFUSED, MAX_REMEMBERED
from domain.errors import CredentialsExpired, IdentityUnavailable, NotAuthenticated
from tests.identity.issuer import (
    ALGORITHMS,
    ORIGIN,
    KeyServer,
    answer,
    key_server,
    key_set,
    private_key,
    public_jwk,
    token,
)

SECRET = "a secret of at least thirty-two bytes"
EVERYTHING = [public_jwk(algorithm) for algorithm in ALGORITHMS]


class Clock:
    """A clock that a test advances; starts at the real time, which PyJWT uses."""

    def __init__(self) -> None:
        self.time = time.time()

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with key_server(key_set(*EVERYTHING)) as running:
        yield running


@pytest.fixture
async def keys(server: KeyServer, clock: Clock) -> AsyncIterator[JwksClient]:
    client = JwksClient(server.url, now=clock, timeout=60)
    yield client
    await client.close()


@pytest.fixture
def identity(keys: JwksClient, clock: Clock) -> BetterAuthIdentityProvider:
    return BetterAuthIdentityProvider([SECRET], ExpectedClaims(ORIGIN, ORIGIN), keys, clock)


async def refused(identity: BetterAuthIdentityProvider, bad: str) -> type[NotAuthenticated]:
    with pytest.raises(NotAuthenticated) as refusal:
        await identity.identify(bad)
    return refusal.type


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


# Accepted


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_tokens_of_all_algorithms_of_better_auth_are_accepted(
    identity: BetterAuthIdentityProvider, algorithm: str
) -> None:
    assert await identity.identify(token(algorithm)) == "alice"


async def test_tokens_signed_with_the_secret_and_with_jwks_keys_are_accepted_side_by_side(
    identity: BetterAuthIdentityProvider, server: KeyServer
) -> None:
    by_secret = jwt.encode({"sub": "bob", "exp": time.time() + 60}, SECRET, "HS256")
    assert await identity.identify(by_secret) == "bob"
    assert server.count == 0
    assert await identity.identify(token()) == "alice"


async def test_a_token_signed_with_the_secret_needs_no_jwks(clock: Clock) -> None:
    keys = JwksClient("http://127.0.0.1:1/jwks", now=clock)
    identity = BetterAuthIdentityProvider([SECRET], ExpectedClaims(ORIGIN, ORIGIN), keys, clock)
    assert await identity.identify(jwt.encode({"sub": "bob", "exp": time.time() + 60}, SECRET, "HS256")) == "bob"
    with pytest.raises(IdentityUnavailable):
        await identity.identify(token())
    await keys.close()


async def test_an_audience_may_be_one_of_several(identity: BetterAuthIdentityProvider) -> None:
    assert await identity.identify(token(aud=["https://other.example", ORIGIN])) == "alice"


# Refused


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": ...},
        {"aud": ...},
        {"iss": "https://evil.example"},
        {"aud": "https://evil.example"},
        {"aud": "better-auth:session-cache"},
        {"aud": []},
        {"sub": ...},
        {"sub": ""},
        {"exp": ...},
        {"iat": int(time.time()) + 600},
        {"nbf": int(time.time()) + 600},
    ],
)
async def test_issuer_audience_subject_and_expiry_are_required_and_checked(
    identity: BetterAuthIdentityProvider, changed: dict[str, Any]
) -> None:
    assert await refused(identity, token(**changed)) is NotAuthenticated


async def test_an_expired_token_has_an_error_of_its_own(identity: BetterAuthIdentityProvider) -> None:
    assert await refused(identity, token(exp=int(time.time()) - 60)) is CredentialsExpired


async def test_a_cached_session_cookie_is_refused_because_of_its_type(
    identity: BetterAuthIdentityProvider,
) -> None:
    now = int(time.time())
    claims = {"sub": "alice", "iat": now, "exp": now + 60, "iss": ORIGIN, "aud": ORIGIN}
    headers = {"kid": "EdDSA-0", "typ": "better-auth.session-cache+jwt"}
    assert await refused(identity, jwt.encode(claims, private_key("EdDSA"), "EdDSA", headers=headers))


async def test_a_token_without_a_key_id_or_with_an_unknown_one_is_refused(
    identity: BetterAuthIdentityProvider, clock: Clock
) -> None:
    nameless = jwt.encode({"sub": "alice", "exp": time.time() + 60}, private_key("EdDSA"), "EdDSA")
    assert await refused(identity, nameless)
    assert await identity.identify(token())
    for kid in ("../../jwks", "' OR 1=1 --", "x" * 1000, "http://evil.example/key"):
        clock.time += 6
        assert await refused(identity, token(kid=kid))


async def test_a_token_signed_with_another_key_is_refused(identity: BetterAuthIdentityProvider) -> None:
    assert await refused(identity, token("EdDSA", 1, kid="EdDSA-0"))
    assert await refused(identity, token("RS256", 1, kid="RS256-0"))


@pytest.mark.parametrize("signed", ALGORITHMS)
@pytest.mark.parametrize("named", ALGORITHMS)
async def test_a_key_verifies_its_own_algorithm_only(
    identity: BetterAuthIdentityProvider, signed: str, named: str
) -> None:
    if named != signed:
        assert await refused(identity, token(signed, kid=f"{named}-0"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_public_key_is_never_used_as_a_secret(identity: BetterAuthIdentityProvider, algorithm: str) -> None:
    """Algorithm confusion, RFC 8725 section 2.1: the public key is no secret."""
    public = private_key(algorithm).public_key()
    forms = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(public_jwk(algorithm)).encode(),
    ]
    for key in forms:
        signing_input = f"{part({'alg': 'HS256', 'kid': f'{algorithm}-0'})}.{part({'sub': 'alice', 'exp': 2**40})}"
        signature = jwt.get_algorithm_by_name("HS256").sign(signing_input.encode(), key)
        forged = f"{signing_input}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        assert await refused(identity, forged) is NotAuthenticated


@pytest.mark.parametrize("alg", ["none", "EdDSA", "ES256", "RS256", "ES384", "RS512", "HS512", "ES256K"])
async def test_an_empty_or_zero_signature_is_refused(identity: BetterAuthIdentityProvider, alg: str) -> None:
    now = int(time.time())
    claims = {"sub": "alice", "iat": now, "exp": now + 60, "iss": ORIGIN, "aud": ORIGIN}
    kid = f"{alg}-0" if alg in ALGORITHMS else "EdDSA-0"
    for signature in ("", "AA", base64.urlsafe_b64encode(bytes(64)).rstrip(b"=").decode()):
        assert await refused(identity, f"{part({'alg': alg, 'kid': kid})}.{part(claims)}.{signature}")


@pytest.mark.parametrize("extra", [{"crit": ["x"], "x": 1}, {"crit": ["b64"], "b64": False}])
async def test_unsupported_critical_extensions_are_refused(
    identity: BetterAuthIdentityProvider, extra: dict[str, Any]
) -> None:
    claims = {"sub": "alice", "exp": time.time() + 60, "iss": ORIGIN, "aud": ORIGIN}
    good = f"{part({'alg': 'EdDSA', 'kid': 'EdDSA-0', **extra})}.{part(claims)}"
    signature = private_key("EdDSA").sign(good.encode())
    assert await refused(identity, f"{good}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")


@pytest.mark.parametrize("embedded", ["jwk", "x5c", "jku", "x5u"])
async def test_keys_embedded_in_or_referenced_by_a_token_are_never_used(
    identity: BetterAuthIdentityProvider, server: KeyServer, embedded: str
) -> None:
    value: Any = {"jwk": public_jwk("EdDSA", 7), "x5c": ["MIIB"], "jku": server.url, "x5u": server.url}[embedded]
    claims = {"sub": "alice", "exp": int(time.time()) + 60, "iss": ORIGIN, "aud": ORIGIN}
    headers = {"kid": "EdDSA-0", embedded: value}
    assert await refused(identity, jwt.encode(claims, private_key("EdDSA", 7), "EdDSA", headers=headers))


async def test_a_symmetric_key_or_algorithm_none_in_the_key_set_is_harmless(
    identity: BetterAuthIdentityProvider, server: KeyServer
) -> None:
    odd = [{"kty": "oct", "k": "AAAA", "kid": "s", "alg": "HS256"}, {**public_jwk("EdDSA"), "kid": "n", "alg": "none"}]
    server.behaviour = key_set(*odd, *EVERYTHING)
    assert await identity.identify(token()) == "alice"
    assert await refused(
        identity, jwt.encode({"sub": "a", "exp": 2**40}, b"\0\0\0" * 11, "HS256", headers={"kid": "s"})
    )


@pytest.mark.parametrize(
    "header", [{"alg": ["EdDSA"]}, {"alg": {}}, {"alg": 5}, {"alg": "EdDSA", "kid": ["x"]}, {"typ": []}, {}]
)
async def test_a_header_of_wrong_types_is_refused(identity: BetterAuthIdentityProvider, header: dict[str, Any]) -> None:
    claims = {"sub": "alice", "exp": 2**40, "iss": ORIGIN, "aud": ORIGIN}
    assert await refused(identity, f"{part({'kid': 'EdDSA-0', **header})}.{part(claims)}.AAAA")


@pytest.mark.parametrize("audience", [None, [None], []])
async def test_without_an_expected_audience_no_jwks_token_is_accepted(keys: JwksClient, audience: object) -> None:
    nameless = BetterAuthIdentityProvider([], ExpectedClaims(ORIGIN, None), keys)
    assert await refused(nameless, token(aud=audience))


# Remembered


async def test_a_valid_token_is_verified_once(
    identity: BetterAuthIdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = token()
    assert await identity.identify(good) == "alice"

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("verified again")

    monkeypatch.setattr(jwt, "decode", fail)
    assert await identity.identify(good) == "alice"


async def test_a_remembered_token_is_forgotten_when_it_expires(
    identity: BetterAuthIdentityProvider, clock: Clock
) -> None:
    good = token(exp=int(clock.time) + 60)
    assert await identity.identify(good) == "alice"
    assert good in identity._remembered._users
    clock.time += 61
    assert await identity.identify(good) == "alice", "verified again, by the real clock"
    assert good not in identity._remembered._users


async def test_a_token_within_the_leeway_is_verified_each_time(identity: BetterAuthIdentityProvider) -> None:
    late = token(exp=int(time.time()) - 5)
    assert await identity.identify(late) == "alice"
    assert not identity._remembered._users


async def test_a_token_that_differs_in_one_character_is_not_the_remembered_one(
    identity: BetterAuthIdentityProvider,
) -> None:
    good = token()
    assert await identity.identify(good) == "alice"
    head, payload, signature = good.split(".")
    for other in (
        f"{head}.{payload}.{signature[:-4]}AAAA",
        f"{head}.{payload}.",
        f"{head}.{payload}",
        f"{good} ",
        good[:-1],
    ):
        assert await refused(identity, other)


async def test_a_refused_token_is_never_taken_for_a_verified_one(
    identity: BetterAuthIdentityProvider, clock: Clock
) -> None:
    for bad in (
        token(sub=""),
        token(iss="https://evil.example"),
        token("EdDSA", 1, kid="EdDSA-0"),
        "junk",
        token(exp=1),
    ):
        assert await refused(identity, bad)
        assert await refused(identity, bad)
    assert not identity._remembered._users


async def test_a_refused_token_is_not_verified_again_for_a_second(
    identity: BetterAuthIdentityProvider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, verified = jwt.decode, 0

    def counted(*arguments: Any, **more: Any) -> Any:
        nonlocal verified
        verified += 1
        return decode(*arguments, **more)

    monkeypatch.setattr(jwt, "decode", counted)
    bad, expired = token(iss="https://evil.example"), token(exp=1)
    for _ in range(5):
        assert await refused(identity, bad) is NotAuthenticated
        assert await refused(identity, expired) is CredentialsExpired
    assert verified == 2
    clock.time += 1
    assert await refused(identity, bad) is NotAuthenticated
    assert verified == 3


async def test_a_refusal_is_forgotten_when_the_keys_change(
    identity: BetterAuthIdentityProvider, server: KeyServer, keys: JwksClient, clock: Clock
) -> None:
    new = token("EdDSA", 1)
    assert await refused(identity, new) is NotAuthenticated
    server.behaviour = key_set(public_jwk("EdDSA", 1))
    await keys.refresh()
    identity._remembered._refusals[new] = (NotAuthenticated(), clock.time)
    clock.time += 6
    assert await identity.identify(new) == "alice"


async def test_the_number_of_remembered_refusals_is_bounded(identity: BetterAuthIdentityProvider) -> None:
    for number in range(MAX_REFUSED + 10):
        assert await refused(identity, f"junk {number}")
    assert len(identity._remembered._refusals) == MAX_REFUSED
    assert await refused(identity, "x" * (MAX_TOKEN + 1))
    assert "x" * (MAX_TOKEN + 1) not in identity._remembered._refusals


async def test_remembered_tokens_are_forgotten_when_the_keys_change(
    identity: BetterAuthIdentityProvider, server: KeyServer, keys: JwksClient, clock: Clock
) -> None:
    good = token()
    assert await identity.identify(good) == "alice"
    server.behaviour = key_set(public_jwk("EdDSA", 1))
    clock.time += 601
    await keys.refresh()
    clock.time += 6
    assert await refused(identity, good) is NotAuthenticated


async def test_remembered_tokens_alone_keep_the_key_set_fresh(
    identity: BetterAuthIdentityProvider, server: KeyServer, keys: JwksClient, clock: Clock
) -> None:
    good = token()
    assert await identity.identify(good) == "alice"
    server.behaviour = key_set(public_jwk("EdDSA", 1))
    clock.time += 601
    assert await identity.identify(good) == "alice"
    assert keys._fetching
    await asyncio.shield(keys._fetching)
    clock.time += 6
    assert await refused(identity, good)


async def test_remembered_tokens_survive_an_outage_and_an_unchanged_key_set(
    identity: BetterAuthIdentityProvider, server: KeyServer, keys: JwksClient, clock: Clock
) -> None:
    good = token(exp=int(clock.time) + 86_400)
    assert await identity.identify(good) == "alice"
    clock.time += 601
    await keys.refresh()
    clock.time += 601
    server.behaviour = answer(b"", "500 Internal Server Error")
    await keys.refresh()
    assert good in identity._remembered._users
    assert await identity.identify(good) == "alice"


async def test_tokens_signed_with_a_removed_secret_are_refused(keys: JwksClient) -> None:
    good = jwt.encode({"sub": "bob", "exp": time.time() + 60}, SECRET, "HS256")
    assert await BetterAuthIdentityProvider([SECRET], ExpectedClaims(), keys).identify(good) == "bob"
    assert await refused(BetterAuthIdentityProvider([SECRET[::-1]], ExpectedClaims(), keys), good)


async def test_the_number_of_remembered_tokens_is_bounded(identity: BetterAuthIdentityProvider) -> None:
    first = jwt.encode({"sub": "0", "exp": time.time() + 60}, SECRET, "HS256")
    for number in range(MAX_REMEMBERED + 10):
        await identity.identify(jwt.encode({"sub": str(number), "exp": time.time() + 60}, SECRET, "HS256"))
    assert len(identity._remembered._users) == MAX_REMEMBERED
    assert await identity.identify(first) == "0"


async def test_a_bound_of_zero_switches_remembering_off(keys: JwksClient, clock: Clock) -> None:
    forgetful = BetterAuthIdentityProvider([SECRET], ExpectedClaims(ORIGIN, ORIGIN), keys, clock, max_remembered=0)
    good = token()
    assert [await forgetful.identify(good) for _ in range(3)] == ["alice"] * 3
    assert (forgetful.remembered, forgetful.verified) == (0, 3)


async def test_a_remembered_refusal_keeps_nothing_of_its_request(identity: BetterAuthIdentityProvider) -> None:
    assert await refused(identity, "junk") is NotAuthenticated
    [(refusal, _)] = identity._remembered._refusals.values()
    assert (refusal.__traceback__, refusal.__context__, refusal.__cause__) == (None, None, None)
