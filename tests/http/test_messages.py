"""Error messages that people read: the reason of the first error in `detail`, all errors in one voice."""

from pathlib import Path

import httpx2
import pytest

from entrypoints.http.problem import CODES
from tests.http.conftest import Contract, assert_problem, invalid_fields

Client = httpx2.AsyncClient
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{}", "title is required"),
        (b'{"title": ""}', "title must have 1 to {longest} characters"),
        (b'{"title": 5}', "title must be a string"),
        (b'{"title": "x", "completed": "yes"}', "completed must be true or false"),
        (b'{"title": "x", "status": "done"}', "status must be 'complete' or 'incomplete'"),
        (b'{"title": "x", "completed": true, "status": "incomplete"}', "status must agree with completed"),
        (b"[]", "body must be a JSON object"),
        (b"{", "body is not valid JSON: EOF while parsing an object at line 1 column 1"),
        (b'{"title": NaN}', "body is not valid JSON: expected value at line 1 column 11"),
    ],
)
async def test_invalid_input_names_the_first_error(alice: Client, contract: Contract, body: bytes, reason: str) -> None:
    response = await alice.post(contract.alice_path, content=body, headers=JSON)
    assert invalid_fields(response, contract)
    assert response.json()["detail"] == reason.format(longest=contract.longest_title)


async def test_all_errors_of_a_query_are_listed(alice: Client, contract: Contract) -> None:
    response = await alice.get(f"{contract.alice_path}?status=foo&limit=0&sort=x&completed=1&order=up&search=%00")
    assert invalid_fields(response, contract) == ["completed", "status", "search", "sort", "order", "limit"]


async def test_head_is_answered_wherever_get_is(anonymous: Client, alice: Client, contract: Contract) -> None:
    url = (await alice.post(contract.alice_path, json={"title": "Buy milk"})).headers["location"]
    for client, path in (
        *((anonymous, path) for path in ("/", "/healthz", "/readyz", "/docs", "/docs/start.js", "/openapi.json")),
        *((alice, path) for path in (url, contract.alice_path, f"{contract.alice_path}?limit=1")),
    ):
        head, get = await client.head(path), await client.get(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        ignored = {"x-request-id"}
        assert {*head.headers.items()} ^ {*get.headers.items()} == {
            (name, value) for response in (head, get) for name, value in response.headers.items() if name in ignored
        }
    assert (await alice.head(f"{contract.alice_path}/9")).status_code == 404
    assert (await anonymous.head(contract.alice_path)).status_code == 401
    assert_problem(await alice.put(contract.alice_path), 405, "method_not_allowed")


async def test_the_root_leads_to_the_documentation(anonymous: Client) -> None:
    response = await anonymous.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/docs")


def test_the_reference_lists_every_error_code() -> None:
    reference = (Path(__file__).parents[2] / "docs/reference/errors.md").read_text()
    listed = {line.split("`")[1] for line in reference.splitlines() if line.startswith("| `")}
    assert {*CODES} < listed
    assert listed - {*CODES} == {"malformed_request", "server_unavailable", "too_many_connections"}
