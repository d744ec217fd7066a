"""Hardening: strict JSON numbers, and the headers that tell browsers and caches what not to do."""

import httpx2
import pytest
from fastapi import HTTPException

from entrypoints.container import Container
from tests.http.conftest import FRONTEND, Contract, application, bearer, invalid_fields

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


SECURITY = ("cache-control", "content-security-policy", "referrer-policy", "x-content-type-options")
"""Of those that OWASP's REST Security Cheat Sheet lists. Record 28 says why the others are absent."""
ABSENT = ("strict-transport-security", "x-frame-options", "permissions-policy")

TASKS = ("private, no-cache", None, None, "nosniff")
UNCACHED = ("no-store", None, None, "nosniff")


def security(response: httpx2.Response) -> tuple[str | None, ...]:
    assert not any(name in response.headers for name in ABSENT)
    return tuple(response.headers.get(name) for name in SECURITY)


async def test_tasks_are_kept_by_the_browser_only_and_revalidated(alice: Client, contract: Contract) -> None:
    created = await alice.post(contract.alice_path, json={"title": "x"})
    path, etag = created.headers["location"], created.headers["etag"]
    responses = [
        created,
        await alice.get(path),
        await alice.head(path),
        await alice.get(path, headers={"If-None-Match": etag}),
        await alice.get(contract.alice_path),
        await alice.put(path, json={"title": "y"}),
        await alice.patch(f"{path}/complete"),
    ]
    assert [response.status_code for response in responses] == [201, 200, 200, 304, 200, 200, 200]
    assert {security(response) for response in responses} == {TASKS}


async def test_errors_and_health_are_stored_by_nobody(anonymous: Client, alice: Client, contract: Contract) -> None:
    responses = [
        await anonymous.get(contract.alice_path),
        await anonymous.get(contract.alice_path, headers={"Authorization": "Bearer x"}),
        await alice.get("/api/bob/tasks"),
        await alice.get(f"{contract.alice_path}/1"),
        await alice.get(f"{contract.alice_path}/x"),
        await alice.post(contract.alice_path, content=b"x" * 70_000),
        await alice.put(contract.alice_path),
        await anonymous.get("/nowhere"),
    ]
    expected = [401, 401, 403, 404, contract.invalid, 413, 405, 404]
    assert [response.status_code for response in responses] == expected
    responses += [await anonymous.get("/healthz"), await anonymous.get("/readyz")]
    assert {security(response) for response in responses} == {UNCACHED}


async def test_an_exception_of_a_route_may_say_how_it_is_cached(wiring: Container) -> None:
    app = application(wiring)

    @app.get("/gone")
    async def gone() -> None:
        raise HTTPException(410, headers={"cache-control": "max-age=60"})

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://testserver") as client:
        assert (await client.get("/gone")).headers.get_list("cache-control") == ["max-age=60"]


async def test_pages_that_a_browser_renders_load_nothing_from_elsewhere_and_cannot_be_framed(anonymous: Client) -> None:
    for path in ("/docs", "/docs/swagger-ui-bundle.js"):
        response = await anonymous.get(path)
        policy = set(response.headers["content-security-policy"].split("; "))
        assert {"default-src 'none'", "frame-ancestors 'none'"} <= policy
        assert response.headers["referrer-policy"] == "no-referrer"
