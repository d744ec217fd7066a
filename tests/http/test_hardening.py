"""Hardening: strict JSON numbers, and no content sniffing."""

import httpx2
import pytest

from tests.http.conftest import FRONTEND, Contract, bearer, invalid_fields

Client = httpx2.AsyncClient


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("member", ["title", "completed", "unknown"])
async def test_numbers_that_are_not_json_are_refused_in_any_member(
    alice: Client, contract: Contract, member: str, number: str
) -> None:
    """RFC 8259 section 6."""
    for body in (f'{{"{member}": {number}, "title": "x"}}', f'{{"title": "x", "{member}": [{{"deep": {number}}}]}}'):
        response = await alice.post(contract.alice_path, content=body, headers={"Content-Type": "application/json"})
        assert invalid_fields(response, contract)
    assert (await alice.get(contract.alice_path)).json() == []


async def test_names_of_such_numbers_are_accepted_in_strings(alice: Client, contract: Contract) -> None:
    response = await alice.post(contract.alice_path, json={"title": "NaN to Infinity", "NaN": "Infinity"})
    assert (response.status_code, response.json()["title"]) == (201, "NaN to Infinity")


async def test_every_response_forbids_content_sniffing(anonymous: Client, alice: Client) -> None:
    preflight = {"Origin": FRONTEND, "Access-Control-Request-Method": "PUT"}
    responses = [
        await alice.post("/api/tasks", json={"title": "x"}),
        await alice.get("/api/tasks"),
        await alice.get("/api/tasks/x"),
        await alice.get("/api/bob/tasks"),
        await alice.delete("/api/tasks/7"),
        await anonymous.get("/api/tasks"),
        await anonymous.get("/nowhere"),
        await anonymous.get("/healthz"),
        await anonymous.get("/docs"),
        await anonymous.get("/openapi.json"),
        await anonymous.options("/api/tasks", headers={**preflight, **bearer("alice")}),
    ]
    assert {response.headers["x-content-type-options"] for response in responses} == {"nosniff"}
