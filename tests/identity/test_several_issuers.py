"""Several issuers: each token is verified with the keys of the issuer that it names, and users are never shared."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from adapters.better_auth.identity import BetterAuthIdentityProvider, ExpectedClaims
from adapters.better_auth.jwks import JwksClient
from domain.errors import CredentialsExpired, NotAuthenticated
from domain.values import UserId, as_spelled
from tests.identity.neon import PATH, NeonAuth, neon_auth

SECRET = "a secret of at least thirty-two bytes"
KEYS = f"{PATH}/.well-known/jwks.json"


class Issuers:
    """The primary issuer and a preview, both trusted, and a stranger."""

    def __init__(self, primary: NeonAuth, preview: NeonAuth, stranger: NeonAuth) -> None:
        self.primary, self.preview, self.stranger = primary, preview, stranger
        self._clients = [JwksClient(issuer.origin + KEYS, pause=0) for issuer in (primary, preview)]
        self.identity = BetterAuthIdentityProvider(
            [SECRET],
            ExpectedClaims(primary.origin, primary.origin),
            self._clients[0],
            others={preview.origin: self._clients[1]},
        )

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


@pytest.fixture
async def issuers() -> AsyncIterator[Issuers]:
    async with neon_auth() as primary, neon_auth() as preview, neon_auth() as stranger:
        running = Issuers(primary, preview, stranger)
        yield running
        await running.close()


async def test_users_of_the_primary_issuer_keep_their_ids_and_others_are_pairs(issuers: Issuers) -> None:
    users = [await issuers.identity.identify(each.token("u1")) for each in (issuers.primary, issuers.preview)]
    assert users == ["u1", f"{issuers.preview.origin}\x1fu1"]
    assert [as_spelled(user) for user in users] == ["u1", "u1"]
    assert await issuers.identity.identify(issuers.preview.token("u1")) == users[1]


async def test_keys_are_fetched_from_the_issuer_that_the_token_names_only(issuers: Issuers) -> None:
    await issuers.identity.identify(issuers.preview.token("u1"))
    assert (issuers.primary.requests, issuers.preview.requests) == ([], [KEYS])


async def test_a_token_signed_with_the_secret_is_of_the_primary_issuer(issuers: Issuers) -> None:
    def signed(**claims: object) -> str:
        return jwt.encode({"sub": "u1", "exp": time.time() + 60, **claims}, SECRET, "HS256")

    assert await issuers.identity.identify(signed()) == "u1"
    assert await issuers.identity.identify(signed(iss=issuers.primary.origin)) == "u1"
    for claims in ({"iss": issuers.preview.origin}, {"aud": issuers.preview.origin}, {"iss": issuers.stranger.origin}):
        with pytest.raises(NotAuthenticated):
            await issuers.identity.identify(signed(**claims))


def hostile(issuers: Issuers) -> dict[str, str]:
    """Tokens that try to be a user of one issuer with what another one signed. docs/how-to/previews.md lists them."""
    primary, preview, stranger = issuers.primary, issuers.preview, issuers.stranger

    def claims_of(issuer: NeonAuth, **more: Any) -> dict[str, Any]:
        return {"iss": issuer.origin, "aud": issuer.origin, **more}

    now = time.time()
    by_public_key = jwt.encode({"sub": "u1", "exp": now + 60, **claims_of(preview)}, preview.public_key(), "HS256")
    unsigned = jwt.encode({"sub": "u1", "exp": now + 60, **claims_of(preview)}, "", "none")
    return {
        "signed by the preview, names the primary issuer": preview.token("u1", **claims_of(primary)),
        "signed by the primary issuer, names the preview": primary.token("u1", **claims_of(preview)),
        "signed by a stranger, names the preview": stranger.token("u1", **claims_of(preview)),
        "signed by a stranger, names itself": stranger.token("u1"),
        "of the preview, for the primary issuer's audience": preview.token("u1", aud=primary.origin),
        "of the preview, without an audience": preview.token("u1", aud=...),
        "of the preview, without an issuer": preview.token("u1", iss=...),
        "of the preview, a list of both issuers": preview.token("u1", iss=[preview.origin, primary.origin]),
        "of the preview, its issuer with a path": preview.token("u1", iss=preview.base_url),
        "of the preview, its issuer in upper case": preview.token("u1", iss=preview.origin.upper()),
        "of the preview, an empty subject": preview.token(""),
        "of the primary issuer, a subject that is a pair": primary.token(f"{preview.origin}\x1fu1"),
        "of the preview, a subject that is a pair": preview.token(f"{primary.origin}\x1fu1"),
        "of a visitor of the preview": preview.anonymous_token(),
        "of the preview, expired": preview.token("u1", exp=int(now) - 60),
        "the preview's public key as a secret": by_public_key,
        "names the preview, unsigned": unsigned,
    }


async def test_every_hostile_token_is_refused(issuers: Issuers) -> None:
    tokens = hostile(issuers)
    for name, token in tokens.items():
        with pytest.raises(NotAuthenticated) as refused:
            await issuers.identity.identify(token)
        assert (refused.type is CredentialsExpired) is name.endswith("expired"), name
    assert issuers.stranger.requests == []


@pytest.mark.parametrize("spelled", ["a\x1fb", "\x1f", "https://app.example.com\x1fu1"])
def test_no_user_id_contains_the_separator_of_pairs(spelled: str) -> None:
    with pytest.raises(ValueError, match=r"U\+001F"):
        UserId(spelled)
    with pytest.raises(ValueError, match=r"U\+001F"):
        UserId(spelled, "https://preview.example")


async def test_the_guide_lists_every_hostile_token(issuers: Issuers) -> None:
    guide = (Path(__file__).parents[2] / "docs/how-to/previews.md").read_text()
    assert [name for name in hostile(issuers) if f"\n| {name} |" not in guide] == []
