"""A page on another origin, and `/docs`, in Debian's Chromium."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Serving
from tests.e2e.conftest import CLIENT, SECRET, USES, Issuer, browse

Run = Callable[..., tuple[Issuer, Serving]]
SCREENSHOT = Path(__file__).with_name("docs-page.png")  # docs/ keeps a copy


def test_a_page_on_another_origin_can_do_everything_and_read_every_answer(run: Run) -> None:
    issuer, api = run()
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    known = {"BETTER_AUTH_URL": issuer.origin, "BETTER_AUTH_SECRET": SECRET, "DATABASE_URL": nowhere}
    with api._todo.serve(**known) as away:
        seen = browse("frontend", page=issuer.origin, api=api.address, away=away.address, email="page@example.com")
    for name, completed, invalid, unavailable in (("first", True, 422, 503), ("second", True, 400, 500)):
        contract = seen[name]
        created = contract["created"]
        assert created["status"] == 201
        assert created["headers"]["location"].endswith(f"/tasks/{created['body']['id']}")
        assert created["body"]["user_id"] == seen["user"]
        assert contract["read"]["body"] == created["body"]
        assert contract["put"]["body"]["title"] == "Buy tea"
        assert contract["patched"]["body"]["description"] == "Green"
        assert contract["completed"]["body"]["completed"] is completed
        assert [task["title"] for task in contract["listed"]["body"]] == ["Buy tea"]
        assert contract["deleted"] == {**contract["deleted"], "status": 204, "body": None}
        errors = {"gone": 404, "anonymous": 401, "invalid": invalid, "large": 413, "unavailable": unavailable}
        for error, status in errors.items():
            answer = contract[error]
            assert answer["status"] == status, error
            assert answer["body"]["status"] == status
            assert answer["headers"]["x-request-id"] == answer["body"]["request_id"]
        assert contract["anonymous"]["headers"]["www-authenticate"] == "Bearer"
        assert int(contract["unavailable"]["headers"]["retry-after"]) > 0
        assert contract["named"]["headers"]["x-request-id"] == "from-the-page"
    assert (seen["foreign"]["status"], seen["foreign"]["body"]["code"]) == (403, "not_yours")
    assert (seen["method"]["status"], seen["method"]["headers"]["allow"]) == (405, "GET, POST")


@pytest.mark.usefixtures("_typescript")
def test_the_typed_client_works_in_a_page_with_tokens_of_better_auth(run: Run) -> None:
    issuer, api = run()
    files = {
        "/page.js": USES / "dist/page.js",
        "/client/index.js": CLIENT / "dist/index.js",
        "/client/send.js": CLIENT / "dist/send.js",
        "/openapi-fetch.mjs": CLIENT / "node_modules/openapi-fetch/dist/index.mjs",
    }
    seen = browse(
        "typedClient",
        page=issuer.origin,
        api=api.address,
        email="typed@example.com",
        files={path: str(file) for path, file in files.items()},
        modules={"tasks-client": "/client/index.js", "openapi-fetch": "/openapi-fetch.mjs"},
    )
    assert seen["created"]["user_id"] == seen["user"]
    assert seen["listed"] == [{**seen["created"], **seen["completed"]}]
    assert seen["completed"]["status"] == "complete"
    assert seen["refused"] == "invalid_input"
    assert seen["tokens"] == 1


def test_a_page_of_an_origin_that_is_not_allowed_gets_nothing(run: Run) -> None:
    issuer, api = run()
    token = issuer.sign_up().token()
    other = issuer.origin.replace("localhost", "127.0.0.1")
    seen = browse("stranger", page=other, api=api.address, token=token)
    assert seen["origin"] == other
    assert seen["simple"] == seen["read"] == seen["written"] == {"failed": "TypeError"}
    with api.client(token) as client:
        assert client.get("/api/tasks").json() == []


def test_the_documentation_can_be_read_and_tried_in_the_browser(run: Run) -> None:
    issuer, api = run()
    seen = browse("docs", api=api.address, token=issuer.sign_up().token(), screenshot=str(SCREENSHOT))
    assert seen["complaints"] == []
    hosts = {url.partition("/docs")[0].partition("/openapi")[0].partition("/api")[0] for url in seen["asked"]}
    assert {host for host in hosts if not host.startswith("data:")} == {api.address}
    assert (seen["status"], seen["created"]["title"]) == (201, "Buy milk")
    assert SCREENSHOT.stat().st_size > 10_000
