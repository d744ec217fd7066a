"""The disk under the private PostgreSQL of a first run fills up."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from adapters.better_auth.identity import ExpectedClaims, sign
from domain.values import UserId
from tests.cli.conftest import Serving, Todo

pytestmark = pytest.mark.scenario

SECRET = {"BETTER_AUTH_SECRET": "a secret of at least thirty-two bytes"}


def token() -> str:
    """Made when it is used: other faults may take longer than it is valid."""
    return sign(UserId("alice"), SECRET["BETTER_AUTH_SECRET"], ExpectedClaims(), seconds=600)


SMALL, LARGE = "90m", "300m"  # an empty private PostgreSQL takes about 60 MB


class TodoOnSmallDisk(Todo):
    """`todo` where `.todo/` is a tmpfs, in a mount namespace that a process of its own keeps.

    Requires Linux with unprivileged user namespaces.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / ".todo").mkdir(mode=0o700)
        mount = f'mount -t tmpfs -o size={SMALL},mode=700 tmpfs "$0" && echo ready && exec sleep infinity'
        private = ["unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-c", mount, str(folder / ".todo")]
        self.keeper = subprocess.Popen(private, stdout=subprocess.PIPE)
        assert self.keeper.stdout
        assert self.keeper.stdout.readline() == b"ready\n"

    def inside(self, *command: str) -> list[str]:
        namespace = [f"--target={self.keeper.pid}", "--user", "--mount", "--preserve-credentials"]
        return ["nsenter", *namespace, f"--wd={self.folder}", "--", *command]

    def command(self, *arguments: str) -> list[str]:
        return self.inside(*super().command(*arguments))

    def enlarge(self) -> None:
        subprocess.run(self.inside("mount", "-o", f"remount,size={LARGE}", str(self.folder / ".todo")), check=True)


@pytest.fixture
def todo(tmp_path: Path) -> Iterator[TodoOnSmallDisk]:
    program = TodoOnSmallDisk(tmp_path)
    yield program
    program.keeper.kill()
    program.keeper.communicate()


def fill(alice: httpx2.Client) -> list[int]:
    """The ids of the tasks that were acknowledged before the first failure."""
    ids: list[int] = []
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        created = alice.post("/api/tasks", json={"title": "x", "description": str(uuid4()) * 27})
        if created.status_code != 201:
            assert (created.status_code, created.json()["code"]) == (503, "storage_unavailable")
            return ids
        ids.append(created.json()["id"])
    raise AssertionError("the disk does not fill up")


def test_a_full_disk_ends_service_cleanly_and_loses_no_acknowledged_task(todo: TodoOnSmallDisk) -> None:
    with todo.serve(**SECRET) as server:
        acknowledged = fill(server.client(token()))
        assert len(acknowledged) > 100
        assert_unavailable(server)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 15
    todo.enlarge()
    with todo.serve(**SECRET) as again:
        alice = again.client(token())
        kept = {task["id"] for task in alice.get("/api/tasks").json()}
        assert set(acknowledged) <= kept
        assert alice.post("/api/tasks", json={"title": "x"}).status_code == 201


def assert_unavailable(server: Serving) -> None:
    """PostgreSQL has stopped, because it cannot write its log; the program answers."""
    alice = server.client(token())
    for _ in range(5):
        assert alice.get("/healthz").status_code == 200
        created = alice.post("/api/tasks", json={"title": "x"})
        assert (created.status_code, created.json()["code"]) == (503, "storage_unavailable")
