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
from tests.e2e.conftest import CLIENT, USES, compile_typescript
from tests.e2e.flaky import Fault, Way, flaky

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
    """One for each test."""
    name: str = request.node.name
    return name[-100:]


@pytest.fixture
def token(api: Serving, todo: Todo, user: str) -> str:
    return todo.token(user)


@pytest.fixture
def page(api: Serving, token: str) -> httpx2.Client:
    """What the user sees past the client."""
    return api.client(token)


@pytest.fixture
def task(page: httpx2.Client) -> int:
    made: int = page.post("/api/tasks", json={"title": "Water the plants"}).json()["id"]
    return made


def run(step: str, address: str, *tokens: str, user: str = "", task: int = 0) -> Any:
    """What the step of `client/steps.ts` saw."""
    given = json.dumps({"api": address, "tokens": tokens, "user": user, "id": task})
    done = subprocess.run(
        ["node", USES / "dist/steps.js", step, given], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def pauses(way: Way) -> list[float]:
    """Between the tries, in seconds."""
    return [after.at - before.at for before, after in pairwise(way.requests)]


def test_the_types_are_made_from_the_description() -> None:
    done = subprocess.run(
        ["npm", "run", "--silent", "types", "--", "--check"],
        cwd=CLIENT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"renew them with `make client`: {done.stderr}"


def test_wrong_names_and_values_do_not_compile() -> None:
    """Each of `client/wrong.ts` stands below a @ts-expect-error, which is an error itself where there is none."""
    assert str(USES / "wrong.ts") in compile_typescript(USES, "--noEmit", "--listFiles").splitlines()


@pytest.mark.parametrize(("step", "invalid"), [("session", 422), ("sessionOfUser", 400)])
def test_a_frontend_does_everything_on_each_contract(
    api: Serving, token: str, user: str, step: str, invalid: int
) -> None:
    seen = run(step, api.address, token, user=user)
    created = seen["created"]["data"]
    assert (seen["created"]["status"], created["title"], created["user_id"]) == (201, "Buy milk", user)
    assert seen["listed"] == [created["id"]]
    assert seen["got"] == {"status": 200, "data": created}
    assert seen["put"]["data"]["title"] == "Buy tea"
    assert seen["patched"]["data"]["description"] == "Green"
    assert seen["completed"]["data"]["status"] == "complete"
    assert seen["toggled"]["data"]["status"] == "incomplete"
    assert (seen["invalid"]["status"], seen["invalid"]["error"]["code"]) == (invalid, "invalid_input")
    assert seen["invalid"]["said"].startswith("title must have 1 to ")
    assert seen["deleted"] == {"status": 204}
    assert (seen["gone"]["status"], seen["gone"]["error"]["code"]) == (404, "task_not_found")
    if step == "sessionOfUser":
        assert (seen["foreign"]["status"], seen["foreign"]["error"]["code"]) == (403, "not_yours")


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("list", Fault.REQUEST_LOST),
        ("list", Fault.ANSWER_CUT),
        ("list", Fault.BUSY),
        ("put", Fault.ANSWER_LOST),
        ("patch", Fault.ANSWER_LOST),
        ("complete", Fault.ANSWER_LOST),
    ],
)
def test_what_reads_or_sets_is_sent_again(
    api: Serving, page: httpx2.Client, token: str, task: int, step: str, fault: Fault
) -> None:
    with flaky(api.address, fault) as way:
        seen = run(step, way.address, token, task=task)
    assert (seen["status"], len(way.requests)) == (200, 2)
    stored = page.get(f"/api/tasks/{task}").json()
    assert seen["data"] in (stored, [stored])
    assert 0.25 < pauses(way)[0] < 5


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.ANSWER_LOST, Fault.ANSWER_CUT, Fault.BUSY])
def test_a_creation_is_sent_again_with_the_same_key_and_there_is_one_task(
    api: Serving, page: httpx2.Client, token: str, fault: Fault
) -> None:
    with flaky(api.address, fault, fault) as way:
        seen = run("create", way.address, token)
    assert seen["status"] == 201
    assert page.get("/api/tasks").json() == [seen["data"]]
    [key] = {request.key for request in way.requests}
    assert key
    assert re.fullmatch("[0-9a-f-]{36}", key)
    assert len(way.requests) == 3


def test_every_creation_has_a_key_of_its_own_unless_the_page_gives_one(api: Serving, token: str) -> None:
    with flaky(api.address, Fault.NONE, Fault.NONE, Fault.ANSWER_LOST) as way:
        for step in ("create", "create", "createWithKey"):
            assert run(step, way.address, token)["status"] == 201
    first, second, *chosen = [request.key for request in way.requests]
    assert first != second
    assert chosen == ["mine", "mine"]


@pytest.mark.parametrize("step", ["toggle", "toggleByNothing", "completeOfUser"])
def test_a_completion_that_may_toggle_is_not_sent_again(
    api: Serving, page: httpx2.Client, token: str, user: str, task: int, step: str
) -> None:
    with flaky(api.address, Fault.ANSWER_LOST) as way:
        seen = run(step, way.address, token, user=user, task=task)
    assert seen == {"failed": "TypeError", "asked": [None]}
    assert len(way.requests) == 1
    assert page.get(f"/api/tasks/{task}").json()["completed"] is True


def test_a_change_of_what_was_seen_is_not_made_twice_when_its_answer_was_lost(
    api: Serving, page: httpx2.Client, token: str, task: int
) -> None:
    """The second try meets what the first has made of the task."""
    with flaky(api.address, Fault.NONE, Fault.ANSWER_LOST) as way:
        seen = run("patchSeen", way.address, token, task=task)
    assert (seen["status"], seen["error"]["code"], len(way.requests)) == (412, "task_changed", 3)
    assert page.get(f"/api/tasks/{task}").json()["description"] == "Green"


def test_a_list_can_be_read_by_the_page(api: Serving, page: httpx2.Client, token: str) -> None:
    titles = ["Bread", "Coffee", "Milk", "Salt", "Tea"]
    for title in reversed(titles):
        page.post("/api/tasks", json={"title": title})
    assert run("pages", api.address, token) == [titles[:2], titles[2:4], titles[4:]]


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.ANSWER_LOST])
def test_a_deletion_whose_answer_was_lost_is_done(
    api: Serving, page: httpx2.Client, token: str, task: int, fault: Fault
) -> None:
    with flaky(api.address, fault) as way:
        assert run("remove", way.address, token, task=task) == {"status": 204, "asked": [None]}
    assert len(way.requests) == 2
    assert page.get(f"/api/tasks/{task}").status_code == 404


def test_a_deletion_of_nothing_is_told(api: Serving, token: str) -> None:
    seen = run("remove", api.address, token, task=1_000_000)
    assert (seen["status"], seen["error"]["code"]) == (404, "task_not_found")


@pytest.mark.parametrize("step", ["create", "toggle"])
def test_an_expired_token_is_replaced_once_and_nothing_is_done_twice(
    api: Serving, todo: Todo, page: httpx2.Client, token: str, user: str, task: int, step: str
) -> None:
    expired = sign(UserId(user), (todo.folder / ".todo/secret").read_text(), ExpectedClaims(), seconds=-60)
    with flaky(api.address) as way:
        seen = run(step, way.address, expired, token, task=task)
        refused = run(step, way.address, expired, expired, token, task=task)
    assert seen["status"] in (200, 201)
    assert seen["asked"] == [None, expired]
    assert (refused["status"], refused["error"]["code"]) == (401, "expired_token")
    assert [request.token for request in way.requests] == [expired, token, expired, expired]
    tasks = page.get("/api/tasks").json()
    assert (len(tasks), tasks[0]["completed"]) == ((2, False) if step == "create" else (1, True))


def test_three_tries_are_the_most(api: Serving, token: str) -> None:
    with flaky(api.address, *[Fault.REQUEST_LOST] * 9) as way:
        assert run("list", way.address, token) == {"failed": "TypeError", "asked": [None]}
    assert len(way.requests) == 3
    first, second = pauses(way)
    assert first > 0.25
    assert second > 0.55


@pytest.mark.parametrize(("step", "status"), [("list", 503), ("listOfUser", 500)])
def test_where_storage_is_unavailable_retry_after_is_waited_for(
    tmp_path: Path, token: str, user: str, todo: Todo, step: str, status: int
) -> None:
    settings = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "BETTER_AUTH_SECRET": (todo.folder / ".todo/secret").read_text().strip(),
    }
    with Todo(tmp_path).serve(**settings) as away, flaky(away.address) as way:
        seen = run(step, way.address, token, user=user)
    assert (seen["status"], seen["error"]["code"]) == (status, "storage_unavailable")
    assert len(way.requests) == 3
    assert all(pause >= 1 for pause in pauses(way))


def test_nobody_waits_for_longer_than_five_seconds(api: Serving, token: str) -> None:
    with flaky(api.address, Fault.BUSY_FOR_AN_HOUR) as way:
        assert run("list", way.address, token)["status"] == 200
    assert 5 <= pauses(way)[0] < 8


def test_whoever_gives_up_is_not_kept_waiting(api: Serving, token: str) -> None:
    with flaky(api.address, Fault.BUSY_FOR_AN_HOUR) as way:
        seen = run("listImpatiently", way.address, token)
        waited = time.monotonic() - way.requests[0].at
    assert seen == {"failed": "TimeoutError", "asked": [None]}
    assert waited < 4.5
    assert len(way.requests) == 1
