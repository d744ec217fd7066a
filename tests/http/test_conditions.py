"""Requests that depend on what the client has seen (RFC 9110 section 13)."""

from typing import Any

import httpx2
import pytest

from tests.http.conftest import Contract, faults, is_problem

Client = httpx2.AsyncClient

CHANGES: dict[str, tuple[str, str, Any]] = {
    "put": ("PUT", "", {"title": "Buy tea"}),
    "patch": ("PATCH", "", {"description": "green"}),
    "complete": ("PATCH", "/complete", None),
    "set": ("PATCH", "/complete", {"completed": True}),
    "delete": ("DELETE", "", None),
}


async def made(client: Client, contract: Contract) -> tuple[str, httpx2.Response]:
    """The address of a new task, and the answer that told of it."""
    answer = (await client.post(contract.of_alice, json={"title": "Buy milk"})).raise_for_status()
    return answer.headers["location"], answer


async def test_a_task_has_one_etag_for_each_of_its_states(alice: Client, contract: Contract) -> None:
    address, created = await made(alice, contract)
    seen = [created.headers["etag"], (await alice.get(address)).headers["etag"]]
    assert seen[0] == seen[1]
    for method, path, body in [
        ("PATCH", "", {"title": "Buy milk"}),
        ("PUT", "", {"title": "a"}),
        ("PATCH", "/complete", None),
    ]:
        answer = await alice.request(method, address + path, json=body)
        assert answer.headers["etag"] == (await alice.get(address)).headers["etag"]
        seen.append(answer.headers["etag"])
    assert len({*seen}) == 3
    assert all(tag[0] == tag[-1] == '"' for tag in seen)


async def test_what_the_client_has_is_not_sent_again(alice: Client, contract: Contract) -> None:
    address, created = await made(alice, contract)
    for where in (address, contract.of_alice, f"{contract.of_alice}?limit=5"):
        tag = (await alice.get(where)).headers["etag"]
        for named in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            answer = await alice.get(where, headers={"If-None-Match": named})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
            assert "content-type" not in answer.headers
        for named in ('"other"', tag.strip('"'), ""):
            assert (await alice.get(where, headers={"If-None-Match": named})).status_code == 200
    await alice.patch(address, json={"title": "Buy tea"})
    for where in (address, contract.of_alice):
        assert (await alice.get(where, headers={"If-None-Match": created.headers["etag"]})).status_code == 200


async def test_the_etag_of_a_list_changes_with_each_of_its_tasks(alice: Client, contract: Contract) -> None:
    async def tag() -> str:
        return str((await alice.get(contract.of_alice)).headers["etag"])

    seen = [await tag()]
    address, _ = await made(alice, contract)
    seen.append(await tag())
    await alice.patch(address, json={"title": "Buy tea"})
    seen.append(await tag())
    await alice.delete(address)
    assert len({*seen}) == 3
    assert await tag() == seen[0]


async def test_a_304_still_leads_to_the_next_page(alice: Client, contract: Contract) -> None:
    await made(alice, contract)
    await made(alice, contract)
    first = await alice.get(contract.of_alice, params={"limit": 1})
    again = await alice.get(contract.of_alice, params={"limit": 1}, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.links == first.links != {}


async def test_a_page_that_has_become_the_last_is_another(alice: Client, contract: Contract) -> None:
    await made(alice, contract)
    address, _ = await made(alice, contract)
    first = await alice.get(contract.of_alice, params={"limit": 1})
    await alice.delete(address)
    again = await alice.get(contract.of_alice, params={"limit": 1}, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.links, again.json()) == (200, {}, first.json())


async def test_what_is_no_list_of_tags_is_known_to_nobody(alice: Client, contract: Contract) -> None:
    address, created = await made(alice, contract)
    for wrong in ("x{}y", '"a" {}', "{}x", '"a", *'):
        known = wrong.format(created.headers["etag"])
        assert (await alice.get(address, headers={"If-None-Match": known})).status_code == 200


@pytest.mark.parametrize("change", CHANGES)
async def test_what_has_changed_since_it_was_seen_is_left_alone(alice: Client, contract: Contract, change: str) -> None:
    method, path, body = CHANGES[change]
    address, created = await made(alice, contract)
    await alice.patch(address, json={"description": "two litres"})
    before = (await alice.get(address)).json()
    old = created.headers["etag"]
    for named in (old, f'{old}, "other"', f"W/{(await alice.get(address)).headers['etag']}", '"0"', '""', '"é"'):
        answer = await alice.request(
            method, address + path, json=body, headers=[(b"if-match", named.encode("latin-1"))]
        )
        is_problem(answer, 412, "task_changed")
    assert (await alice.get(address)).json() == before


@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_seen_is_changed(alice: Client, contract: Contract, change: str) -> None:
    method, path, body = CHANGES[change]
    for named in ("{}", '"other", {}', '"0","é" ,{}', '"other",{},', ',"other", ,{}', "*", " * "):
        address, created = await made(alice, contract)
        condition = named.format(created.headers["etag"]).encode("latin-1")
        answer = await alice.request(method, address + path, json=body, headers=[(b"if-match", condition)])
        assert answer.status_code in (200, 204)


@pytest.mark.parametrize("change", CHANGES)
async def test_several_lines_count_as_one_list(alice: Client, contract: Contract, change: str) -> None:
    method, path, body = CHANGES[change]
    address, created = await made(alice, contract)
    lines = [("If-Match", '"other"'), ("If-Match", created.headers["etag"])]
    assert (await alice.request(method, address + path, json=body, headers=lines)).is_success


@pytest.mark.parametrize("wrong", ["", "abc", '"a" "b"', '"a', "*, *", ","])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_condition_that_cannot_be_read_is_invalid(
    alice: Client, contract: Contract, change: str, wrong: str
) -> None:
    method, path, body = CHANGES[change]
    address, _ = await made(alice, contract)
    answer = await alice.request(method, address + path, json=body, headers={"If-Match": wrong})
    assert faults(answer, contract) == ["If-Match"]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_task_that_is_not_there_is_not_found_whatever_was_seen(
    alice: Client, bob: Client, contract: Contract, change: str
) -> None:
    method, path, body = CHANGES[change]
    address, created = await made(alice, contract)
    bobs = address.replace(contract.of_alice, contract.of_bob)
    answer = await bob.request(method, bobs + path, json=body, headers={"If-Match": created.headers["etag"]})
    is_problem(answer, 404, "task_not_found")


async def test_a_copy_may_be_kept_by_its_reader_and_has_to_be_asked_about(alice: Client, contract: Contract) -> None:
    address, created = await made(alice, contract)
    for answer in (created, await alice.get(address), await alice.get(contract.of_alice)):
        assert answer.headers["cache-control"] == "private, no-cache"
