"""Better Auth, a `todo serve` that trusts its tokens, and a browser, as separate processes on loopback.

Also compiles the TypeScript client.
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
CLIENT_TESTS = HERE / "client"
SECRET = "the secret that Better Auth and this server share"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Issuer:
    """A Better Auth server, running from `start` to `kill`."""

    def __init__(self, port: int, **options: str) -> None:
        self.origin = f"http://localhost:{port}"
        self.options = {"PORT": str(port), "SECRET": SECRET, **options}
        self.base_path = options.get("BASE_PATH", "/api/auth")
        self.process: subprocess.Popen[str] | None = None
        self._users = 0

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["node", str(HERE / "issuer.mjs")],
            env={**os.environ, **self.options},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if line != f"listening at {self.origin}\n":
            self.kill()
            raise AssertionError(line)

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

    def sign_up(self) -> "SignedUpUser":
        self._users += 1
        email = f"user{self._users}@example.com"
        with self.client() as client:
            response = client.post(
                f"{self.base_path}/sign-up/email",
                json={"email": email, "password": "correct horse battery", "name": "A user"},
            )
            assert response.status_code == 200, response.text
            return SignedUpUser(self, response.json()["user"]["id"], response.json()["token"], dict(response.cookies))

    def verification_tokens(self) -> list[str]:
        """The tokens in the e-mail messages that were sent."""
        with self.client() as client:
            tokens: list[str] = client.get("/verification-tokens").json()
            return tokens


class SignedUpUser:
    """A user of Better Auth, with a session."""

    def __init__(self, issuer: Issuer, id_: str, session: str, cookies: dict[str, str]) -> None:
        self.issuer, self.id, self.session, self.cookies = issuer, id_, session, cookies

    def token(self) -> str:
        """A fresh JWT, by the session cookie alone: Better Auth runs without its plugin bearer()."""
        with self.issuer.client() as client:
            client.cookies.update(self.cookies)
            response = client.get(f"{self.issuer.base_path}/token")
            assert response.status_code == 200, response.text
            token: str = response.json()["token"]
            return token


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    for needed in (shutil.which("node"), (HERE / "node_modules/better-auth").is_dir() or None):
        assert needed, "run `make e2e`, which installs Node, Better Auth and Chromium"


def compile_typescript(project: Path, *options: str) -> str:
    """Compiles with the pinned TypeScript, and returns what it printed. The project's tsconfig.json sets the output."""
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
    """Compiles the client and the tests' programs that use it."""
    for project in (CLIENT, CLIENT_TESTS):
        compile_typescript(project)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., tuple[Issuer, Serving]]]:
    """Starts Better Auth with the given options, and `todo serve` with its URL and secret."""
    with ExitStack() as running:

        def start(**options: str) -> tuple[Issuer, Serving]:
            issuer = Issuer(free_port(), **options)
            issuer.start()
            running.callback(issuer.kill)
            known = {"BETTER_AUTH_URL": issuer.origin, "BETTER_AUTH_SECRET": SECRET}
            return issuer, running.enter_context(Todo(tmp_path).serve(**known))

        yield start


def browse(steps: str, *, script: str = "browser.mjs", **arguments: Any) -> Any:
    """Runs steps of the script, and returns what the page observed."""
    done = subprocess.run(
        ["node", str(HERE / script), steps, json.dumps(arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 2,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
