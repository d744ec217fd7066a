"""If-None-Match on writes (RFC 9110 section 13.1.2): the versions in which a task must not be changed."""

import httpx2
import pytest

from tests.http.conftest import Contract, assert_problem, invalid_fields

Client = httpx2.AsyncClient

WRITES = [("PUT", "", {"title": "Buy tea"}), ("PATCH", "", {"completed": True}), ("PATCH", "/complete", None)]
WRITES += [("DELETE", "", None)]


async def create_task(client: Client, contract: Contract) -> tuple[str, str]:
    """Creates a task; returns its URL and ETag."""
    response = (await client.post(contract.alice_path, json={"title": "Buy milk"})).raise_for_status()
    return response.headers["location"], response.headers["etag"]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_a_star_or_the_current_etag_prevents_the_write(
    alice: Client, contract: Contract, method: str, path: str, body: object
) -> None:
    url, etag = await create_task(alice, contract)
    for field in ("*", etag, f"W/{etag}", f'"other", {etag}'):
        response = await alice.request(method, url + path, json=body, headers={"If-None-Match": field})
        assert_problem(response, 412, "task_changed")
    assert (await alice.get(url)).headers["etag"] == etag


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_other_etags_do_not_prevent_the_write(
    alice: Client, contract: Contract, method: str, path: str, body: object
) -> None:
    url, etag = await create_task(alice, contract)
    headers = {"If-None-Match": '"other", "1"', "If-Match": etag}
    assert (await alice.request(method, url + path, json=body, headers=headers)).is_success


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_both_preconditions_must_hold(
    alice: Client, contract: Contract, method: str, path: str, body: object
) -> None:
    url, etag = await create_task(alice, contract)
    for headers in ({"If-None-Match": etag, "If-Match": etag}, {"If-None-Match": '"1"', "If-Match": '"2"'}):
        assert_problem(await alice.request(method, url + path, json=body, headers=headers), 412, "task_changed")


async def test_a_missing_task_is_404_and_a_malformed_list_is_invalid(alice: Client, contract: Contract) -> None:
    response = await alice.put(f"{contract.alice_path}/7", json={}, headers={"If-None-Match": "*"})
    assert_problem(response, 404, "task_not_found")
    url, _ = await create_task(alice, contract)
    response = await alice.put(url, json={}, headers={"If-None-Match": "abc"})
    assert invalid_fields(response, contract) == ["If-None-Match"]
