"""Conditional requests: ETag, If-Match and If-None-Match (RFC 9110 section 13)."""

from typing import Any

import httpx2
import pytest

from tests.http.conftest import Contract, assert_problem, invalid_fields

Client = httpx2.AsyncClient

CHANGES: dict[str, tuple[str, str, Any]] = {
    "put": ("PUT", "", {"title": "Buy tea"}),
    "patch": ("PATCH", "", {"description": "green"}),
    "complete": ("PATCH", "/complete", None),
    "set": ("PATCH", "/complete", {"completed": True}),
    "delete": ("DELETE", "", None),
}


async def create_task(client: Client, contract: Contract) -> tuple[str, httpx2.Response]:
    """Creates a task; returns its path and the response."""
    response = (await client.post(contract.alice_path, json={"title": "Buy milk"})).raise_for_status()
    return response.headers["location"], response


async def test_every_state_of_a_task_has_its_own_etag(alice: Client, contract: Contract) -> None:
    path, created = await create_task(alice, contract)
    etags = [created.headers["etag"], (await alice.get(path)).headers["etag"]]
    assert etags[0] == etags[1]
    for method, suffix, body in [
        ("PATCH", "", {"title": "Buy milk"}),
        ("PUT", "", {"title": "a"}),
        ("PATCH", "/complete", None),
    ]:
        response = await alice.request(method, path + suffix, json=body)
        assert response.headers["etag"] == (await alice.get(path)).headers["etag"]
        etags.append(response.headers["etag"])
    assert len({*etags}) == 3
    assert all(etag[0] == etag[-1] == '"' for etag in etags)


async def test_a_matching_if_none_match_is_304(alice: Client, contract: Contract) -> None:
    path, created = await create_task(alice, contract)
    for url in (path, contract.alice_path, f"{contract.alice_path}?limit=5"):
        etag = (await alice.get(url)).headers["etag"]
        for matching in (etag, f'"other", {etag}', f"W/{etag}", "*"):
            response = await alice.get(url, headers={"If-None-Match": matching})
            assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)
            assert "content-type" not in response.headers
        for other in ('"other"', etag.strip('"'), ""):
            assert (await alice.get(url, headers={"If-None-Match": other})).status_code == 200
    await alice.patch(path, json={"title": "Buy tea"})
    for url in (path, contract.alice_path):
        assert (await alice.get(url, headers={"If-None-Match": created.headers["etag"]})).status_code == 200


async def test_the_etag_of_a_list_changes_with_its_tasks(alice: Client, contract: Contract) -> None:
    async def etag() -> str:
        return str((await alice.get(contract.alice_path)).headers["etag"])

    etags = [await etag()]
    path, _ = await create_task(alice, contract)
    etags.append(await etag())
    await alice.patch(path, json={"title": "Buy tea"})
    etags.append(await etag())
    await alice.delete(path)
    assert len({*etags}) == 3
    assert await etag() == etags[0]


async def test_a_304_still_links_to_the_next_page(alice: Client, contract: Contract) -> None:
    await create_task(alice, contract)
    await create_task(alice, contract)
    first = await alice.get(contract.alice_path, params={"limit": 1})
    again = await alice.get(contract.alice_path, params={"limit": 1}, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.links == first.links != {}


async def test_a_page_that_has_become_the_last_has_a_new_etag(alice: Client, contract: Contract) -> None:
    await create_task(alice, contract)
    path, _ = await create_task(alice, contract)
    first = await alice.get(contract.alice_path, params={"limit": 1})
    await alice.delete(path)
    again = await alice.get(contract.alice_path, params={"limit": 1}, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.links, again.json()) == (200, {}, first.json())


async def test_a_malformed_if_none_match_is_ignored(alice: Client, contract: Contract) -> None:
    path, created = await create_task(alice, contract)
    for malformed in ("x{}y", '"a" {}', "{}x", '"a", *'):
        value = malformed.format(created.headers["etag"])
        assert (await alice.get(path, headers={"If-None-Match": value})).status_code == 200


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_with_an_outdated_if_match_is_412(alice: Client, contract: Contract, change: str) -> None:
    method, suffix, body = CHANGES[change]
    path, created = await create_task(alice, contract)
    await alice.patch(path, json={"description": "two litres"})
    before = (await alice.get(path)).json()
    outdated = created.headers["etag"]
    for if_match in (
        outdated,
        f'{outdated}, "other"',
        f"W/{(await alice.get(path)).headers['etag']}",
        '"0"',
        '""',
        '"é"',
    ):
        response = await alice.request(
            method, path + suffix, json=body, headers=[(b"if-match", if_match.encode("latin-1"))]
        )
        assert_problem(response, 412, "task_changed")
    assert (await alice.get(path)).json() == before


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_with_a_matching_if_match_succeeds(alice: Client, contract: Contract, change: str) -> None:
    method, suffix, body = CHANGES[change]
    for pattern in ("{}", '"other", {}', '"0","é" ,{}', '"other",{},', ',"other", ,{}', "*", " * "):
        path, created = await create_task(alice, contract)
        if_match = pattern.format(created.headers["etag"]).encode("latin-1")
        response = await alice.request(method, path + suffix, json=body, headers=[(b"if-match", if_match)])
        assert response.status_code in (200, 204)


@pytest.mark.parametrize("change", CHANGES)
async def test_several_if_match_lines_count_as_one_list(alice: Client, contract: Contract, change: str) -> None:
    method, suffix, body = CHANGES[change]
    path, created = await create_task(alice, contract)
    lines = [("If-Match", '"other"'), ("If-Match", created.headers["etag"])]
    assert (await alice.request(method, path + suffix, json=body, headers=lines)).is_success


@pytest.mark.parametrize("wrong", ["", "abc", '"a" "b"', '"a', "*, *", ","])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_malformed_if_match_is_invalid(alice: Client, contract: Contract, change: str, wrong: str) -> None:
    method, suffix, body = CHANGES[change]
    path, _ = await create_task(alice, contract)
    response = await alice.request(method, path + suffix, json=body, headers={"If-Match": wrong})
    assert invalid_fields(response, contract) == ["If-Match"]


@pytest.mark.parametrize("change", CHANGES)
async def test_another_user_s_task_is_404_whatever_if_match_says(
    alice: Client, bob: Client, contract: Contract, change: str
) -> None:
    method, suffix, body = CHANGES[change]
    path, created = await create_task(alice, contract)
    bobs = path.replace(contract.alice_path, contract.bob_path)
    response = await bob.request(method, bobs + suffix, json=body, headers={"If-Match": created.headers["etag"]})
    assert_problem(response, 404, "task_not_found")


async def test_responses_are_private_and_must_be_revalidated(alice: Client, contract: Contract) -> None:
    path, created = await create_task(alice, contract)
    for response in (created, await alice.get(path), await alice.get(contract.alice_path)):
        assert response.headers["cache-control"] == "private, no-cache"
