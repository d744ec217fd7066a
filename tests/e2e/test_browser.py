"""A page on another origin, and the documentation page, in Chromium."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.conftest import TIMEOUT, Serving, Todo
from tests.e2e.conftest import CLIENT, CLIENT_TESTS, HERE, SECRET, Issuer, browse

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


@pytest.fixture
def todo(tmp_path: Path) -> Todo:
    return Todo(tmp_path)


def page_of_the_readme(api: str, token: str) -> Mapping[str, tuple[str, str]]:
    """The page of the client's README, built for an API, and a Better Auth that gives out this token."""
    code = (CLIENT_TESTS / "readme.tsx").read_text()
    assert f"```tsx\n{code}```" in (CLIENT / "README.md").read_text()
    source = CLIENT_TESTS / "dist/readme.tsx"
    source.write_text(code.replace("https://api.example.com", api))
    # The client is linked here and brings packages of its own; installed, it shares those of the page.
    shared = [f"--alias:{name}={HERE / 'node_modules' / name}" for name in ("react", "@tanstack/react-query")]
    command: list[str | Path] = [HERE / "node_modules/.bin/esbuild", source, "--bundle", "--jsx=automatic", *shared]
    bundle = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout
    return {
        "/": ("text/html", '<!doctype html><div id="root"></div><script src="/page.js"></script>'),
        "/page.js": ("text/javascript", bundle),
        "/api/auth/token": ("application/json", json.dumps({"token": token})),
    }


@contextmanager
def serving(files: Mapping[str, tuple[str, str]], port: int) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            media_type, body = files.get(self.path, ("text/plain", ""))
            self.send_response(200 if self.path in files else 404)
            self.send_header("Content-Type", media_type)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("localhost", port), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.usefixtures("_typescript")
def test_the_page_of_the_readme_works_on_a_first_run_from_localhost_5173(
    todo: Todo,
) -> None:
    """Without any setting, the API is open to it. Changes show at once; those that fail are taken back."""
    with todo.serve() as api, serving(page_of_the_readme(api.address, todo.token("me")), 5173):
        observed = browse("readme", page="http://localhost:5173")
        stored = api.client(todo.token("me")).get("/api/tasks").json()
    assert observed["refused"] == "title must have 1 to 200 characters"
    assert observed["added"] == ["Buy bread", "Buy milk"]
    assert observed["checked"] == {"after reload": True, "offline": False, "online again": False}
    assert observed["gone"] == "Task not found"
    assert observed["left"] == ["Buy milk"]
    assert [(task["title"], task["completed"]) for task in stored] == [("Buy milk", False)]
    assert observed["tokens"] == 3  # one for each load of the page, and one for the deletion elsewhere


@pytest.mark.usefixtures("_typescript")
def test_the_typed_client_works_in_a_page_with_better_auth_tokens(run: Run) -> None:
    issuer, api = run()
    files = {
        "/page.js": CLIENT_TESTS / "dist/page.js",
        "/client/index.js": CLIENT / "dist/index.js",
        "/client/send.js": CLIENT / "dist/send.js",
        "/client/token.js": CLIENT / "dist/token.js",
        "/client/problem.js": CLIENT / "dist/problem.js",
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
