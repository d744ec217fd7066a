"""Neon Auth, configured by one setting, or by its address in BETTER_AUTH_URL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from adapters.better_auth.identity import BetterAuthIdentityProvider
from adapters.better_auth.jwks import JwksClient
from domain.errors import AnonymousCaller, CredentialsExpired, IdentityUnavailable, NotAuthenticated
from entrypoints.container import Container
from entrypoints.settings import Settings
from tests.identity.neon import PATH, NeonAuth, neon_auth

WELL_KNOWN = f"{PATH}/.well-known/jwks.json"
USER = str(uuid4())


@asynccontextmanager
async def identified(**chosen: Any) -> AsyncIterator[BetterAuthIdentityProvider]:
    container = Container(settings=Settings(_env_file=None, **chosen))
    yield container.identity()
    await container.jwks().close()  # type: ignore[union-attr]


@pytest.fixture
async def neon() -> AsyncIterator[NeonAuth]:
    async with neon_auth() as running:
        yield running


async def test_its_base_url_is_enough(neon: NeonAuth) -> None:
    async with identified(neon_auth_base_url=f"{neon.base_url}/") as identity:
        assert await identity.identify(neon.token(USER)) == USER
    assert neon.requests == [WELL_KNOWN]


async def test_its_base_url_in_better_auth_url_is_enough_too(neon: NeonAuth) -> None:
    async with identified(better_auth_url=neon.base_url) as identity:
        for _ in range(2):
            assert await identity.identify(neon.token(USER)) == USER
    assert neon.requests == [f"{PATH}/jwks", WELL_KNOWN], "both places are tried, once"


async def test_the_place_of_the_keys_that_answered_is_kept(neon: NeonAuth) -> None:
    client = JwksClient(f"{neon.base_url}/jwks", f"{neon.base_url}{WELL_KNOWN.removeprefix(PATH)}", pause=0)
    for _ in range(3):
        await client.refresh()
    assert neon.requests == [f"{PATH}/jwks", *[WELL_KNOWN] * 3]
    assert client.urls == (f"{neon.base_url}/.well-known/jwks.json",)
    await client.close()


async def test_while_neither_place_answers_both_stay_candidates(neon: NeonAuth) -> None:
    client = JwksClient(f"{neon.base_url}/a", f"{neon.base_url}/b", pause=0)
    for _ in range(2):
        with pytest.raises(IdentityUnavailable):
            await client.find("any")
    assert neon.requests == [f"{PATH}/a", f"{PATH}/b"] * 2
    assert client.failure == "HTTP 404"
    await client.close()


async def test_a_visitor_s_token_is_refused(neon: NeonAuth) -> None:
    async with identified(neon_auth_base_url=neon.base_url) as identity:
        with pytest.raises(AnonymousCaller, match="Sign in"):
            await identity.identify(neon.anonymous_token())


@pytest.mark.parametrize(
    ("changed", "failure"),
    [
        ({"iss": "https://ep-other.neonauth.us-east-1.aws.neon.tech"}, NotAuthenticated),
        ({"aud": "https://ep-other.neonauth.us-east-1.aws.neon.tech"}, NotAuthenticated),
        ({"iss": ...}, NotAuthenticated),
        ({"aud": ...}, NotAuthenticated),
        ({"sub": ...}, NotAuthenticated),
        ({"exp": 1}, CredentialsExpired),
    ],
)
async def test_claims_are_checked(neon: NeonAuth, changed: dict[str, Any], failure: type[NotAuthenticated]) -> None:
    async with identified(neon_auth_base_url=neon.base_url) as identity:
        with pytest.raises(NotAuthenticated) as refused:
            await identity.identify(neon.token(USER, **changed))
    assert refused.type is failure


async def test_another_branch_s_token_is_refused(neon: NeonAuth) -> None:
    async with neon_auth() as branch, identified(neon_auth_base_url=neon.base_url) as identity:
        with pytest.raises(NotAuthenticated):
            await identity.identify(branch.token(USER))
        with pytest.raises(NotAuthenticated):
            await identity.identify(branch.token(USER, iss=neon.origin, aud=neon.origin))
        assert branch.requests == []
