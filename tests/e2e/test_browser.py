"""A page on another origin, and the documentation page, in Chromium."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Serving
from tests.e2e.conftest import CLIENT, CLIENT_TESTS, SECRET, Issuer, browse

Run = Callable[..., tuple[Issuer, Serving]]
SCREENSHOT = Path(__file__).with_name("docs-page.png")  # docs/ keeps a copy


def test_a_page_on_another_origin_can_use_every_operation_and_read_every_response(run: Run) -> None:
    issuer, api = run()
    unreachable = "postgresql://nobody@127.0.0.1:1/nothing"
    known = {"BETTER_AUTH_URL": issuer.origin, "BETTER_AUTH_SECRET": SECRET, "DATABASE_URL": unreachable}
    with api._todo.serve(**known) as without_database:
        observed = browse(
            "frontend",
            page=issuer.origin,
            api=api.address,
            without_database=without_database.address,
            email="page@example.com",
        )
    for name, completed, invalid, unavailable in (("first", True, 422, 503), ("second", True, 400, 500)):
        contract = observed[name]
        created = contract["created"]
        assert created["status"] == 201
        assert created["headers"]["location"].endswith(f"/tasks/{created['body']['id']}")
        assert created["body"]["user_id"] == observed["user"]
        assert contract["read"]["body"] == created["body"]
        assert contract["put"]["body"]["title"] == "Buy tea"
        assert contract["patched"]["body"]["description"] == "Green"
        assert contract["completed"]["body"]["completed"] is completed
        assert [task["title"] for task in contract["listed"]["body"]] == ["Buy tea"]
        assert contract["deleted"] == {**contract["deleted"], "status": 204, "body": None}
        errors = {"gone": 404, "anonymous": 401, "invalid": invalid, "large": 413, "unavailable": unavailable}
        for error, status in errors.items():
            response = contract[error]
            assert response["status"] == status, error
            assert response["body"]["status"] == status
            assert response["headers"]["x-request-id"] == response["body"]["request_id"]
        assert contract["anonymous"]["headers"]["www-authenticate"] == "Bearer"
        assert int(contract["unavailable"]["headers"]["retry-after"]) > 0
        assert contract["named"]["headers"]["x-request-id"] == "from-the-page"
    assert (observed["foreign"]["status"], observed["foreign"]["body"]["code"]) == (403, "not_yours")
    assert (observed["method"]["status"], observed["method"]["headers"]["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.usefixtures("_typescript")
def test_the_typed_client_works_in_a_page_with_better_auth_tokens(run: Run) -> None:
    issuer, api = run()
    files = {
        "/page.js": CLIENT_TESTS / "dist/page.js",
        "/client/index.js": CLIENT / "dist/index.js",
        "/client/send.js": CLIENT / "dist/send.js",
        "/openapi-fetch.mjs": CLIENT / "node_modules/openapi-fetch/dist/index.mjs",
    }
    observed = browse(
        "typedClient",
        page=issuer.origin,
        api=api.address,
        email="typed@example.com",
        files={path: str(file) for path, file in files.items()},
        modules={"tasks-client": "/client/index.js", "openapi-fetch": "/openapi-fetch.mjs"},
    )
    assert observed["created"]["user_id"] == observed["user"]
    assert observed["listed"] == [{**observed["created"], **observed["completed"]}]
    assert observed["completed"]["status"] == "complete"
    assert observed["refused"] == "invalid_input"
    assert observed["tokens"] == 1


def test_a_page_on_a_disallowed_origin_can_neither_read_nor_write(run: Run) -> None:
    issuer, api = run()
    token = issuer.sign_up().token()
    other = issuer.origin.replace("localhost", "127.0.0.1")
    observed = browse("disallowedOrigin", page=other, api=api.address, token=token)
    assert observed["origin"] == other
    assert observed["simple"] == observed["read"] == observed["written"] == {"failed": "TypeError"}
    with api.client(token) as client:
        assert client.get("/api/tasks").json() == []


def test_the_documentation_page_works_in_the_browser(run: Run) -> None:
    issuer, api = run()
    observed = browse("docs", api=api.address, token=issuer.sign_up().token(), screenshot=str(SCREENSHOT))
    assert observed["errors"] == []
    hosts = {url.partition("/docs")[0].partition("/openapi")[0].partition("/api")[0] for url in observed["requests"]}
    assert {host for host in hosts if not host.startswith("data:")} == {api.address}
    assert (observed["status"], observed["created"]["title"]) == (201, "Buy milk")
    assert SCREENSHOT.stat().st_size > 10_000
