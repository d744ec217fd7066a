"""A Better Auth server, a `todo serve` that trusts it, and a browser: each a process of its own on loopback.

And the TypeScript client, compiled.
"""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cli.conftest import TIMEOUT, Serving, Todo

HERE = Path(__file__).parent
CLIENT = HERE.parents[1] / "clients/typescript"
USES = HERE / "client"
SECRET = "the secret that Better Auth and this server share"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Issuer:
    """Better Auth, while it runs."""

    def __init__(self, port: int, **options: str) -> None:
        self.origin = f"http://localhost:{port}"
        self.options = {"PORT": str(port), "SECRET": SECRET, **options}
        self.process: subprocess.Popen[str] | None = None
        self._people = 0

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["node", str(HERE / "issuer.mjs")],
            env={**os.environ, **self.options},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout
        said = self.process.stdout.readline()
        if said != f"listening at {self.origin}\n":
            self.kill()
            raise AssertionError(said)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(TIMEOUT)
            assert self.process.stdout
            self.process.stdout.close()
            self.process = None

    @contextmanager
    def client(self) -> Iterator[httpx2.Client]:
        with httpx2.Client(base_url=self.origin, headers={"Origin": self.origin}, timeout=TIMEOUT) as client:
            yield client

    def sign_up(self) -> "Person":
        self._people += 1
        email = f"someone{self._people}@example.com"
        with self.client() as client:
            answer = client.post(
                "/api/auth/sign-up/email", json={"email": email, "password": "correct horse battery", "name": "Someone"}
            )
            assert answer.status_code == 200, answer.text
            return Person(self, answer.json()["user"]["id"], answer.json()["token"], dict(answer.cookies))

    def letters(self) -> list[str]:
        """The tokens in the e-mail messages that were sent."""
        with self.client() as client:
            sent: list[str] = client.get("/letters").json()
            return sent


class Person:
    """Somebody who has signed up."""

    def __init__(self, issuer: Issuer, user: str, session: str, cookies: dict[str, str]) -> None:
        self.issuer, self.user, self.session, self.cookies = issuer, user, session, cookies

    def token(self) -> str:
        """A fresh JWT."""
        with self.issuer.client() as client:
            answer = client.get("/api/auth/token", headers={"Authorization": f"Bearer {self.session}"})
            assert answer.status_code == 200, answer.text
            token: str = answer.json()["token"]
            return token


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    for needed in (shutil.which("node"), (HERE / "node_modules/better-auth").is_dir() or None):
        assert needed, "run this by `make e2e`, which installs Node, Better Auth and Chromium"


def compile_typescript(project: Path, *options: str) -> str:
    """By the current TypeScript; what it printed. The project says where the output goes."""
    done = subprocess.run(
        [HERE / "node_modules/.bin/tsc", "--project", project, "--strict", *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def _typescript() -> None:
    """The client is compiled, and what the tests do with it."""
    for project in (CLIENT, USES):
        compile_typescript(project)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., tuple[Issuer, Serving]]]:
    """Starts a Better Auth server with these options, and a `todo serve` that knows it by its address only."""
    with ExitStack() as running:

        def start(**options: str) -> tuple[Issuer, Serving]:
            issuer = Issuer(free_port(), **options)
            issuer.start()
            running.callback(issuer.kill)
            known = {"BETTER_AUTH_URL": issuer.origin, "BETTER_AUTH_SECRET": SECRET}
            return issuer, running.enter_context(Todo(tmp_path).serve(**known))

        yield start


def browse(steps: str, **given: Any) -> Any:
    """What the browser saw."""
    done = subprocess.run(
        ["node", str(HERE / "browser.mjs"), steps, json.dumps(given)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 2,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
