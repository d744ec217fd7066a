"""Tokens signed with a shared secret (HS256), and forgeries."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.better_auth.identity import PUBLIC_SECRET, BetterAuthIdentityProvider, ExpectedClaims, sign
from domain.errors import CredentialsExpired, NotAuthenticated, WrongCredentialType
from domain.values import UserId

SECRET = "the current secret, of at least 32 bytes"
PREVIOUS = "the previous secret, of at least 32 bytes"
ORIGIN = "https://app.example.com"

identity = BetterAuthIdentityProvider([SECRET, PREVIOUS], ExpectedClaims(ORIGIN, ORIGIN))


def claims(**changed: Any) -> dict[str, Any]:
    """Claims of a valid token. A claim set to ... is omitted."""
    good = {"sub": "alice", "iat": int(time.time()), "exp": int(time.time()) + 600}
    return {name: value for name, value in {**good, **changed}.items() if value is not ...}


def token(secret: str = SECRET, headers: dict[str, Any] | None = None, **changed: Any) -> str:
    return jwt.encode(claims(**changed), secret, "HS256", headers=headers)


def part(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def refused(bad: str, identity: BetterAuthIdentityProvider = identity) -> type[NotAuthenticated]:
    with pytest.raises(NotAuthenticated) as refusal:
        await identity.identify(bad)
    return refusal.type


# Accepted


@pytest.mark.parametrize("user", ["alice", "1", "0b7c1c8e-4f43-4a8e-9d0c-0b4a0d9b2a52", "日本語", "x" * 255])
async def test_the_user_is_the_sub(user: str) -> None:
    assert await identity.identify(token(sub=user)) == user


@pytest.mark.parametrize(
    "changed",
    [
        {"iat": ...},
        {"iss": ORIGIN, "aud": ORIGIN},
        {"aud": ["https://other.example", ORIGIN]},
        {"exp": time.time() + 600.5},
        {"email": "a@b.c", "name": "A", "id": "someone else"},
        {"nbf": int(time.time()) - 1},
        {"jti": "x"},
    ],
)
async def test_a_handmade_token_is_accepted(changed: dict[str, Any]) -> None:
    assert await identity.identify(token(**changed)) == "alice"


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", None])
async def test_the_typ_of_access_tokens_is_accepted(typ: str | None) -> None:
    assert await identity.identify(token(headers={"typ": typ})) == "alice"


async def test_a_key_id_is_neither_required_nor_read() -> None:
    assert await identity.identify(token(headers={"kid": "../../etc/passwd' OR 1=1"})) == "alice"


async def test_tokens_signed_with_the_previous_secret_are_accepted() -> None:
    assert await identity.identify(token(PREVIOUS)) == "alice"


async def test_clocks_may_differ_by_thirty_seconds() -> None:
    now = int(time.time())
    assert await identity.identify(token(exp=now - 20)) == "alice"
    assert await identity.identify(token(iat=now + 20)) == "alice"
    assert await identity.identify(token(nbf=now + 20)) == "alice"
    assert await refused(token(exp=now - 40)) is CredentialsExpired
    assert await refused(token(iat=now + 40)) is NotAuthenticated
    assert await refused(token(nbf=now + 40)) is NotAuthenticated


async def test_a_development_token_is_accepted() -> None:
    assert await identity.identify(sign(UserId("me"), SECRET, ExpectedClaims(ORIGIN, ORIGIN), seconds=60)) == "me"


# Refused


@pytest.mark.parametrize(
    "changed",
    [
        {"sub": ...},
        {"sub": ""},
        {"sub": None},
        {"sub": 7},
        {"sub": ["alice"]},
        {"sub": {"id": "alice"}},
        {"sub": True},
        {"sub": "a\0b"},
        {"sub": "\ud800"},
        {"sub": "x" * 256},
    ],
)
async def test_a_token_without_a_usable_sub_is_refused(changed: dict[str, Any]) -> None:
    assert await refused(token(**changed)) is NotAuthenticated


@pytest.mark.parametrize("exp", [..., None, str(2**40), "never", "0", True, [], {}, float("nan"), float("inf")])
async def test_exp_is_required_and_must_be_a_number(exp: object) -> None:
    assert await refused(_signed({"alg": "HS256"}, claims(exp=exp)))


@pytest.mark.parametrize("exp", [0, -1, 1.5])
async def test_an_expired_token_has_an_error_of_its_own(exp: float) -> None:
    assert await refused(token(exp=exp)) is CredentialsExpired


@pytest.mark.parametrize("changed", [{"iat": "soon"}, {"iat": []}, {"nbf": "soon"}, {"nbf": {}}, {"jti": 5}])
async def test_claims_of_a_wrong_type_are_refused(changed: dict[str, Any]) -> None:
    assert await refused(token(**changed)) is NotAuthenticated


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"iss": ORIGIN + "/"},
        {"iss": [ORIGIN]},
        {"iss": 5},
        {"aud": "https://evil.example"},
        {"aud": []},
        {"aud": ""},
        {"aud": {"x": ORIGIN}},
        {"aud": "better-auth:session-cache"},
    ],
)
async def test_another_issuer_or_audience_is_refused_where_it_is_named(changed: dict[str, Any]) -> None:
    assert await refused(_signed({"alg": "HS256"}, claims(**changed))) is NotAuthenticated


async def test_issuer_and_audience_are_required_where_they_are_configured() -> None:
    strict = BetterAuthIdentityProvider([SECRET], ExpectedClaims(ORIGIN, "api", frozenset({"iss", "aud"})))
    assert await strict.identify(token(iss=ORIGIN, aud="api")) == "alice"
    missing: list[dict[str, Any]] = [{}, {"iss": ORIGIN}, {"aud": "api"}, {"iss": ORIGIN, "aud": ORIGIN}]
    for changed in missing:
        assert await refused(token(**changed), strict) is NotAuthenticated


async def test_a_token_with_an_audience_is_refused_where_none_is_expected() -> None:
    unnamed = BetterAuthIdentityProvider([SECRET], ExpectedClaims())
    assert await unnamed.identify(token(iss="anybody")) == "alice"
    assert await refused(token(aud="somebody"), unnamed) is NotAuthenticated


@pytest.mark.parametrize("typ", ["better-auth.session-cache+jwt", "JWE", "id_token+jwt", "logout+jwt", "", 5, ["JWT"]])
async def test_tokens_of_other_types_are_refused(typ: object) -> None:
    header = {"alg": "HS256", "typ": typ}
    assert await refused(_signed(header, claims())) is NotAuthenticated


def _signed(header: object, payload: object, secret: str = SECRET) -> str:
    signing_input = f"{part(header)}.{part(payload)}"
    signature = jwt.get_algorithm_by_name("HS256").sign(signing_input.encode(), secret.encode())
    return f"{signing_input}.{part(signature)}"


async def test_verification_links_and_cached_cookies_signed_with_the_secret_are_refused() -> None:
    now = int(time.time())
    verification_link = {"email": "a@b.c", "userId": "alice", "iat": now, "exp": now + 600}
    cookie_cache = {"session": {"token": "s" * 32}, "user": {"id": "alice"}, "iat": now, "exp": now + 600}
    for payload in (verification_link, cookie_cache):
        assert await refused(_signed({"alg": "HS256"}, payload)) is NotAuthenticated


@pytest.mark.parametrize("session", ["a" * 32, "Zz09" * 8, "a" * 32 + ".sig+/=", "a" * 32 + ".c2ln%3D"])
async def test_a_session_token_has_an_error_of_its_own_with_a_hint(session: str) -> None:
    with pytest.raises(WrongCredentialType, match="/api/auth/token"):
        await identity.identify(session)


async def test_another_secret_is_refused() -> None:
    assert await refused(token("some other secret of at least 32 bytes")) is NotAuthenticated
    assert await refused(token(base64.b64encode(SECRET.encode()).decode())) is NotAuthenticated


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "", "HS384", "HS512", "RS256", "ES256", "EdDSA", None, 5, ["HS256"]]
)
async def test_no_other_algorithm_is_accepted_whatever_the_header_says(alg: object) -> None:
    good = _signed({"alg": alg}, claims())
    assert await refused(good) is NotAuthenticated
    assert await refused(good.rpartition(".")[0] + ".") is NotAuthenticated


@pytest.mark.parametrize("alg", ["HS384", "HS512"])
async def test_the_right_secret_with_another_hash_is_refused(alg: str) -> None:
    assert await refused(jwt.encode(claims(), SECRET * 2, alg)) is NotAuthenticated


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256", "crit": ["exp"], "exp": 1},
        {"alg": "HS256", "crit": ["b64"], "b64": False},
        {"alg": "HS256", "crit": []},
        {"alg": "HS256", "crit": "b64"},
        {"alg": "HS256", "b64": False},
        {"alg": "HS256", "kid": 5},
        {},
        [],
        "HS256",
        None,
    ],
)
async def test_unsupported_and_malformed_headers_are_refused(header: object) -> None:
    assert await refused(_signed(header, claims())) is NotAuthenticated


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": {"kty": "oct", "k": "c2VjcmV0"}},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["MII"]},
    ],
)
async def test_keys_in_or_referenced_by_the_header_are_never_used(header: dict[str, Any]) -> None:
    assert await refused(_signed({"alg": "HS256", **header}, claims(), "secret" * 8)) is NotAuthenticated


async def test_a_changed_token_is_refused() -> None:
    header, payload, signature = token().split(".")
    assert await refused(f"{header}.{part(claims(sub='bob'))}.{signature}") is NotAuthenticated
    assert await refused(f"{header}.{payload}.{'A' * len(signature)}") is NotAuthenticated
    assert await refused(f"{header}.{payload}.") is NotAuthenticated
    assert await refused(f"{header}.{payload}.{signature}.{signature}") is NotAuthenticated


async def test_a_nested_or_encrypted_token_is_refused() -> None:
    assert await refused(_signed({"alg": "HS256", "cty": "JWT"}, token())) is NotAuthenticated
    assert await refused(f"{part({'alg': 'dir', 'enc': 'A128GCM'})}..{'A' * 16}.AAAA.AAAA") is NotAuthenticated


async def test_a_payload_that_is_not_an_object_is_refused() -> None:
    payloads: list[object] = [[], "alice", 5, None, b"\xff", b"[" * 3000, b"{"]
    for payload in payloads:
        assert await refused(_signed({"alg": "HS256"}, payload)) is NotAuthenticated


@given(st.text(max_size=100) | st.text("ey.JhbGciOi_-=", max_size=200))
async def test_junk_is_refused(junk: str) -> None:
    await refused(junk)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
async def test_signed_junk_is_refused(junk: object) -> None:
    await refused(_signed({"alg": "HS256"}, junk))
    await refused(_signed(junk, claims()))


async def test_an_oversized_token_is_refused_without_being_parsed() -> None:
    assert await refused(token(avatar="x" * 8000)) is NotAuthenticated


# Secrets


@pytest.mark.parametrize("secret", ["", "short", "x" * 31, PUBLIC_SECRET])
def test_short_and_publicly_known_secrets_are_refused(secret: str) -> None:
    with pytest.raises(ValueError, match=r"must have|public default") as refusal:
        BetterAuthIdentityProvider([secret], ExpectedClaims())
    assert not secret or secret not in str(refusal.value)


def test_a_secret_is_measured_in_bytes() -> None:
    BetterAuthIdentityProvider(["é" * 16], ExpectedClaims())
