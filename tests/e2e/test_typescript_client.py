"""The client of `clients/typescript`, compiled by the current TypeScript and run by Node against `todo serve`."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest

from adapters.better_auth.identity import ExpectedClaims, sign
from domain.values import UserId
from tests.cli.conftest import TIMEOUT, Serving, Todo
from tests.e2e.conftest import CLIENT, CLIENT_TESTS, HERE, compile_typescript
from tests.e2e.flaky_proxy import Fault, FlakyProxy, flaky

pytestmark = pytest.mark.usefixtures("_typescript")


@pytest.fixture(scope="module")
def todo(tmp_path_factory: pytest.TempPathFactory) -> Todo:
    return Todo(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def api(todo: Todo) -> Iterator[Serving]:
    with todo.serve() as serving:
        yield serving


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """A user for each test."""
    name: str = request.node.name
    return name[-100:]


@pytest.fixture
def token(api: Serving, todo: Todo, user: str) -> str:
    return todo.token(user)


@pytest.fixture
def direct(api: Serving, token: str) -> httpx2.Client:
    """An HTTP client of the same user, not under test."""
    return api.client(token)


@pytest.fixture
def task(direct: httpx2.Client) -> int:
    created: int = direct.post("/api/tasks", json={"title": "Water the plants"}).json()["id"]
    return created


def run(step: str, address: str, *tokens: str, user: str = "", task: int = 0) -> Any:
    """Runs a step of `client/steps.ts`, and returns its result."""
    arguments = json.dumps({"api": address, "tokens": tokens, "user": user, "id": task})
    done = subprocess.run(
        ["node", CLIENT_TESTS / "dist/steps.js", step, arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def delays(proxy: FlakyProxy) -> list[float]:
    """Seconds between the attempts."""
    return [after.at - before.at for before, after in pairwise(proxy.requests)]


def test_the_generated_types_are_current() -> None:
    done = subprocess.run(
        ["npm", "run", "--silent", "types", "--", "--check"],
        cwd=CLIENT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"outdated: run `make client`: {done.stderr}"


def test_wrong_names_and_values_do_not_compile() -> None:
    """Each mistake in `client/wrong.ts` is below a @ts-expect-error, which is itself an error if nothing is wrong."""
    assert str(CLIENT_TESTS / "wrong.ts") in compile_typescript(CLIENT_TESTS, "--noEmit", "--listFiles").splitlines()


@pytest.mark.parametrize(("step", "invalid"), [("session", 422), ("sessionOfUser", 400)])
def test_the_client_supports_every_operation_of_each_contract(
    api: Serving, token: str, user: str, step: str, invalid: int
) -> None:
    result = run(step, api.address, token, user=user)
    created = result["created"]["data"]
    assert (result["created"]["status"], created["title"], created["user_id"]) == (201, "Buy milk", user)
    assert result["listed"] == [created["id"]]
    assert result["got"] == {"status": 200, "data": created}
    assert result["put"]["data"]["title"] == "Buy tea"
    assert result["patched"]["data"]["description"] == "Green"
    assert result["completed"]["data"]["status"] == "complete"
    assert result["toggled"]["data"]["status"] == "incomplete"
    assert (result["invalid"]["status"], result["invalid"]["error"]["code"]) == (invalid, "invalid_input")
    assert result["invalid"]["message"].startswith("title must have 1 to ")
    assert result["deleted"] == {"status": 204}
    assert (result["gone"]["status"], result["gone"]["error"]["code"]) == (404, "task_not_found")
    if step == "sessionOfUser":
        assert (result["foreign"]["status"], result["foreign"]["error"]["code"]) == (403, "not_yours")


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("list", Fault.REQUEST_LOST),
        ("list", Fault.RESPONSE_TRUNCATED),
        ("list", Fault.BUSY),
        ("put", Fault.RESPONSE_LOST),
        ("patch", Fault.RESPONSE_LOST),
        ("complete", Fault.RESPONSE_LOST),
        ("toggle", Fault.TOO_MANY),  # it had no effect, so even this is sent again
    ],
)
def test_idempotent_requests_are_retried(
    api: Serving, direct: httpx2.Client, token: str, task: int, step: str, fault: Fault
) -> None:
    with flaky(api.address, fault) as proxy:
        result = run(step, proxy.address, token, task=task)
    assert (result["status"], len(proxy.requests)) == (200, 2)
    stored = direct.get(f"/api/tasks/{task}").json()
    assert result["data"] in (stored, [stored])
    assert 0.25 < delays(proxy)[0] < 5


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.RESPONSE_LOST, Fault.RESPONSE_TRUNCATED, Fault.BUSY])
def test_a_creation_is_retried_with_the_same_key_and_creates_one_task(
    api: Serving, direct: httpx2.Client, token: str, fault: Fault
) -> None:
    with flaky(api.address, fault, fault) as proxy:
        result = run("create", proxy.address, token)
    assert result["status"] == 201
    assert direct.get("/api/tasks").json() == [result["data"]]
    [key] = {request.key for request in proxy.requests}
    assert key
    assert re.fullmatch("[0-9a-f]{32}", key)
    assert len(proxy.requests) == 3


def test_every_creation_gets_its_own_key_unless_the_caller_sets_one(api: Serving, token: str) -> None:
    with flaky(api.address, Fault.NONE, Fault.NONE, Fault.RESPONSE_LOST) as proxy:
        for step in ("create", "create", "createWithKey"):
            assert run(step, proxy.address, token)["status"] == 201
    first, second, *chosen = [request.key for request in proxy.requests]
    assert first != second
    assert chosen == ["mine", "mine"]


@pytest.mark.parametrize("step", ["toggle", "toggleWithEmptyBody", "completeOfUser", "contradict"])
def test_a_completion_that_may_toggle_is_not_retried(
    api: Serving, direct: httpx2.Client, token: str, user: str, task: int, step: str
) -> None:
    with flaky(api.address, Fault.RESPONSE_LOST) as proxy:
        result = run(step, proxy.address, token, user=user, task=task)
    assert result == {"failed": "TypeError", "tokenRequests": [None]}
    assert len(proxy.requests) == 1
    assert direct.get(f"/api/tasks/{task}").json()["completed"] is True


def test_a_conditional_change_whose_response_is_lost_is_not_made_twice(
    api: Serving, direct: httpx2.Client, token: str, task: int
) -> None:
    """The retry finds the task changed by the first attempt."""
    with flaky(api.address, Fault.NONE, Fault.RESPONSE_LOST) as proxy:
        result = run("patchIfMatch", proxy.address, token, task=task)
    assert (result["status"], result["error"]["code"], len(proxy.requests)) == (412, "task_changed", 3)
    assert direct.get(f"/api/tasks/{task}").json()["description"] == "Green"


def test_a_list_can_be_read_page_by_page(api: Serving, direct: httpx2.Client, token: str) -> None:
    titles = ["Bread", "Coffee", "Milk", "Salt", "Tea"]
    for title in reversed(titles):
        direct.post("/api/tasks", json={"title": title})
    assert run("pages", api.address, token) == [titles[:2], titles[2:4], titles[4:]]


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.RESPONSE_LOST])
def test_a_deletion_whose_response_is_lost_succeeds(
    api: Serving, direct: httpx2.Client, token: str, task: int, fault: Fault
) -> None:
    with flaky(api.address, fault) as proxy:
        assert run("remove", proxy.address, token, task=task) == {"status": 204, "tokenRequests": [None]}
    assert len(proxy.requests) == 2
    assert direct.get(f"/api/tasks/{task}").status_code == 404


def test_deleting_a_missing_task_is_404(api: Serving, token: str) -> None:
    result = run("remove", api.address, token, task=1_000_000)
    assert (result["status"], result["error"]["code"]) == (404, "task_not_found")


@pytest.mark.parametrize("step", ["create", "toggle"])
def test_an_expired_token_is_replaced_once_and_nothing_is_done_twice(
    api: Serving, todo: Todo, direct: httpx2.Client, token: str, user: str, task: int, step: str
) -> None:
    expired = sign(UserId(user), (todo.folder / ".todo/secret").read_text(), ExpectedClaims(), seconds=-60)
    with flaky(api.address) as proxy:
        result = run(step, proxy.address, expired, token, task=task)
        refused = run(step, proxy.address, expired, expired, token, task=task)
    assert result["status"] in (200, 201)
    assert result["tokenRequests"] == [None, expired]
    assert (refused["status"], refused["error"]["code"]) == (401, "expired_token")
    assert [request.token for request in proxy.requests] == [expired, token, expired, expired]
    tasks = direct.get("/api/tasks").json()
    assert (len(tasks), tasks[0]["completed"]) == ((2, False) if step == "create" else (1, True))


def test_a_token_is_fetched_once_and_again_after_it_was_forgotten(api: Serving, token: str) -> None:
    assert run("tokens", api.address, token) == {"statuses": [200] * 4, "before": 1, "after": 2}


def test_an_expiring_token_is_replaced_before_it_is_refused(api: Serving, todo: Todo, token: str, user: str) -> None:
    secret = (todo.folder / ".todo/secret").read_text()
    expiring = sign(UserId(user), secret, ExpectedClaims(), seconds=5)
    with flaky(api.address) as proxy:
        result = run("tokens", proxy.address, expiring, token)
    assert result == {"statuses": [200] * 4, "before": 2, "after": 3}
    assert [request.token for request in proxy.requests] == [expiring, *[token] * 4]


def test_an_error_can_be_thrown_and_says_why(api: Serving, token: str) -> None:
    reason = "ProblemError: title must have 1 to 200 characters"
    assert run("thrown", api.address, token) == {
        "text": reason,
        "code": "invalid_input",
        "status": 422,
        "isError": True,
    }


def test_all_tasks_can_be_deleted(api: Serving, token: str, task: int) -> None:
    assert run("removeAll", api.address, token)["data"] == {"count": 1}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as npm would publish it."""
    folder = tmp_path_factory.mktemp("packed")
    tool("npm", "pack", "--silent", "--pack-destination", folder, cwd=CLIENT)
    [package] = folder.glob("*.tgz")
    return package


def tool(*command: str | Path, cwd: Path = HERE) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_package_can_be_published_and_resolved_in_every_way(packed: Path) -> None:
    tool("node_modules/.bin/publint", "--strict", packed)
    assert "No problems found" in tool("node_modules/.bin/attw", packed, "--no-emoji")


def test_the_package_can_be_required_and_imported(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    tool("npm", "install", "--silent", "--no-audit", packed, cwd=tmp_path)
    for script in (
        "console.log(typeof require('tasks-client').createTasksClient)",
        "import('tasks-client').then((client) => console.log(typeof client.createTasksClient))",
    ):
        assert tool("node", "-e", script, cwd=tmp_path) == "function\n"


def test_a_request_is_attempted_three_times_at_most(api: Serving, token: str) -> None:
    with flaky(api.address, *[Fault.REQUEST_LOST] * 9) as proxy:
        assert run("list", proxy.address, token) == {"failed": "TypeError", "tokenRequests": [None]}
    assert len(proxy.requests) == 3
    first, second = delays(proxy)
    assert first > 0.25
    assert second > 0.55


@pytest.mark.parametrize(("step", "status"), [("list", 503), ("listOfUser", 500)])
def test_retry_after_is_respected_while_storage_is_unavailable(
    tmp_path: Path, token: str, user: str, todo: Todo, step: str, status: int
) -> None:
    settings = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "BETTER_AUTH_SECRET": (todo.folder / ".todo/secret").read_text().strip(),
    }
    with Todo(tmp_path).serve(**settings) as without_database, flaky(without_database.address) as proxy:
        result = run(step, proxy.address, token, user=user)
    assert (result["status"], result["error"]["code"]) == (status, "storage_unavailable")
    assert len(proxy.requests) == 3
    assert all(delay >= 1 for delay in delays(proxy))


def test_retry_after_is_capped_at_five_seconds(api: Serving, token: str) -> None:
    with flaky(api.address, Fault.BUSY_FOR_AN_HOUR) as proxy:
        assert run("list", proxy.address, token)["status"] == 200
    assert 5 <= delays(proxy)[0] < 8


def test_an_aborted_request_does_not_wait_for_its_retry(api: Serving, token: str) -> None:
    with flaky(api.address, Fault.BUSY_FOR_AN_HOUR) as proxy:
        result = run("listWithTimeout", proxy.address, token)
        waited = time.monotonic() - proxy.requests[0].at
    assert result == {"failed": "TimeoutError", "tokenRequests": [None]}
    assert waited < 4.5
    assert len(proxy.requests) == 1
