"""Users of several issuers over HTTP: each knows themselves by the `sub` that their frontend knows."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest

from entrypoints.container import Container
from tests.http.conftest import assert_problem, client, container
from tests.identity.neon import NeonAuth, neon_auth


@pytest.fixture
async def issuers() -> AsyncIterator[tuple[NeonAuth, NeonAuth]]:
    async with neon_auth() as production, neon_auth() as preview:
        yield production, preview


@pytest.fixture
async def wired(issuers: tuple[NeonAuth, NeonAuth]) -> AsyncIterator[Container]:
    urls = [issuer.base_url for issuer in issuers]
    wiring = container(better_auth_url=",".join(urls[::-1]), better_auth_primary_url=urls[0])
    yield wiring
    for key_set in filter(None, (wiring.jwks(), *wiring.jwks_of_others().values())):
        await key_set.close()


@pytest.fixture
async def users(wired: Container, issuers: tuple[NeonAuth, NeonAuth]) -> AsyncIterator[list[httpx2.AsyncClient]]:
    """The user `u1` of production, and the user `u1` of the preview."""
    async with AsyncExitStack() as stack:
        headers = [{"Authorization": f"Bearer {issuer.token('u1')}"} for issuer in issuers]
        yield [await stack.enter_async_context(client(wired, **each)) for each in headers]


@pytest.mark.parametrize("path", ["/api/tasks", "/api/u1/tasks"])
async def test_users_with_one_id_at_two_issuers_share_nothing(users: list[httpx2.AsyncClient], path: str) -> None:
    tasks = [(await user.post(path, json={"title": title})).json() for user, title in zip(users, "ab", strict=True)]
    for user, own, other in zip(users, tasks, tasks[::-1], strict=True):
        assert own["user_id"] == "u1"
        assert (await user.get(path)).json() == [own]
        for method in ("GET", "PUT", "DELETE"):
            response = await user.request(method, f"{path}/{other['id']}", json={"title": "c"})
            assert_problem(response, 404, "task_not_found")
        assert (await user.get(f"{path}/{own['id']}")).json() == own


async def test_the_path_of_contract_2_has_the_sub_and_never_the_pair(
    users: list[httpx2.AsyncClient], issuers: tuple[NeonAuth, NeonAuth]
) -> None:
    pair = f"{issuers[1].origin.removeprefix('http://')}%1Fu1"
    for user in users:
        for other in ("u2", pair, "%1Fu1"):
            assert_problem(await user.get(f"/api/{other}/tasks"), 403, "not_yours")


async def test_a_keyed_creation_of_one_is_not_the_other_s(users: list[httpx2.AsyncClient]) -> None:
    headers = {"Idempotency-Key": "k"}
    first, second = [await user.post("/api/tasks", json={"title": "a"}, headers=headers) for user in users]
    assert first.json()["id"] != second.json()["id"]


async def test_a_visitor_s_token_has_a_code_and_a_hint(wired: Container, issuers: tuple[NeonAuth, NeonAuth]) -> None:
    async with client(wired) as visitor:
        for issuer in issuers:
            headers = {"Authorization": f"Bearer {issuer.anonymous_token()}"}
            problem = assert_problem(await visitor.get("/api/tasks", headers=headers), 401, "anonymous_token")
            assert problem["hint"] == "This is the token of a visitor. Sign in, and send the token of the session."
