"""`examples/nextjs`: built, served beside `todo serve`, and used in Chromium."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cli.conftest import TIMEOUT, Todo, wait_until
from tests.databases import fresh_database, url
from tests.e2e.conftest import HERE, browse, free_port

EXAMPLE = HERE.parents[1] / "examples/nextjs"
SCREENSHOT = HERE / "nextjs-page.png"  # docs/ keeps a copy
NEXT = ["node", str(EXAMPLE / "node_modules/next/dist/bin/next")]
ENVIRONMENT = {
    **os.environ,
    "NEXT_TELEMETRY_DISABLED": "1",
    "BETTER_AUTH_SECRET": "a secret of Better Auth alone; the API does not know it",
}

Use = Callable[..., Any]


@pytest.fixture(scope="module")
def _built(_typescript: None) -> None:
    built = subprocess.run(
        [*NEXT, "build"], cwd=EXAMPLE, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr


@contextmanager
def serving(origin: str, log: Path, **settings: str) -> Iterator[None]:
    """The built application, while it runs."""
    port = origin.rpartition(":")[2]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*NEXT, "start", "--port", port],
            cwd=EXAMPLE,
            env={**ENVIRONMENT, "BETTER_AUTH_URL": origin, **settings},
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: _responds(origin, process, log))
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def _responds(origin: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return httpx2.get(origin, timeout=TIMEOUT).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
def use(_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Use]:
    """Runs steps of `nextjs.mjs` as a user who is new to the application."""
    folder = tmp_path_factory.mktemp("nextjs")
    todo = Todo(folder)
    origin = f"http://localhost:{free_port()}"
    users = iter(range(1, 255))

    def steps(name: str, **arguments: Any) -> Any:
        n = next(users)
        user = {"email": f"user{n}@example.com", "ip": f"192.0.2.{n}"}
        return browse(name, script="nextjs.mjs", origin=origin, api=api.address, **user, **arguments)

    with todo.serve(BETTER_AUTH_URL=origin) as api:
        sockets = (folder / ".todo/postgres/postmaster.pid").read_text().splitlines()[4]
        with (
            fresh_database(f"host={sockets} user=postgres dbname=postgres", "auth") as auth,
            serving(origin, folder / "next.log", DATABASE_URL=url(auth), TASKS_API_URL=api.address),
        ):
            yield steps


def test_a_user_signs_up_adds_edits_completes_and_deletes_tasks_and_signs_in_again(use: Use) -> None:
    observed = use("firstVisit", screenshot=str(SCREENSHOT))
    assert observed["added"] == ["Buy milk", "Call Bob", "Water the plants"]
    assert observed["remaining"] == observed["afterSigningInAgain"] == ["Buy oat milk", "Call Bob"]
    assert observed["completed"] is True
    assert observed["refused"] == "Invalid email or password"
    assert observed["errors"] == []
    assert len(observed["origins"]) == 2, "the application and the API only"
    assert SCREENSHOT.stat().st_size > 10_000


def test_a_toggle_is_shown_at_once_and_rolled_back_when_the_request_fails(use: Use) -> None:
    assert use("toggle") == {
        "message": "The server cannot be reached. Check your connection.",
        "afterFailure": False,
        "afterSuccess": True,
    }


def test_a_task_that_was_changed_elsewhere_is_neither_deleted_nor_overwritten_unseen(use: Use) -> None:
    assert use("conflict") == {
        "notDeleted": "The task has changed",
        "focus": "Delete Buy oat milk",
        "notSaved": "The task has changed",
        "untouched": "Buy coffee",
        "saved": ["Buy tea"],
    }


def test_tasks_are_found_by_page_filter_and_search(use: Use) -> None:
    observed = use("find")
    assert observed["counts"] == [20, 40, 45]
    assert observed["newest"] == "Task 45"
    assert observed["done"] == [f"Task {n}" for n in (45, 36, 27, 18, 9)]
    assert observed["found"] == [f"Task {n}" for n in (45, 44, 43, 42, 41, 40, 4)]


def test_errors_are_shown_and_nothing_that_was_typed_is_lost(use: Use) -> None:
    assert use("errors") == {
        "invalid": "title must have 1 to 200 characters",
        "kept": 201,
        "unreachable": "The server cannot be reached. Check your connection.",
    }


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_every_screen_is_accessible_and_fits_a_phone(use: Use, color_scheme: str) -> None:
    observed = use("phone", colorScheme=color_scheme)
    assert observed == {screen: {"violations": [], "overflow": 0} for screen in ("board", "edit", "delete", "signIn")}
