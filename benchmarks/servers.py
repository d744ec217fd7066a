"""The compared servers: separate processes that use the same table and verify the same tokens."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2

from benchmarks.data import Database
from benchmarks.load import OPERATIONS
from benchmarks.tokens import SECRET, Algorithm, Issuer
from entrypoints.settings import Settings

TIMEOUT = 30  # seconds for a server to start or stop
_HERE = Path(__file__).parent
_PYTHON_PEER = [str(_HERE / ".venv/bin/python"), "-m", "uvicorn", "--host", "127.0.0.1", "--backlog", "2048"]
_PYTHON_PEER += ["--app-dir", str(_HERE / "peers/python"), "--port", "{port}"]
_FASTIFY = ["node", str(_HERE / "peers/fastify/server.mjs")]
_QUIET = {"UVICORN_LOG_LEVEL": "warning", "UVICORN_ACCESS_LOG": "false"}


@dataclass(frozen=True, slots=True)
class Server:
    """A compared server. It logs no requests, unless `request_log` is added to its environment. `operations` are those
    that it is measured with."""

    name: str
    description: str
    command: Sequence[str]
    environment: Mapping[str, str]
    request_log: Mapping[str, str]
    is_ours: bool = False
    operations: Sequence[str] = OPERATIONS


OURS = Server(
    "ours",
    "`todo serve`, at most 8 connections to the database",
    [sys.executable, "-m", "entrypoints.cli", "serve", "--port", "{port}"],
    environment={"ACCESS_LOG": "off"},
    request_log={"ACCESS_LOG": "on"},
    is_ours=True,
)
SERVERS = (
    OURS,
    replace(
        OURS,
        name="ours-forgetful",
        description="the same without remembered states of tasks",
        environment={**OURS.environment, "REMEMBERED_TASKS_MIB": "0"},
        operations=("put", "complete"),
    ),
    Server(
        "fastify",
        "Fastify, @fastify/jwt, node-postgres with named statements, 20 connections",
        _FASTIFY,
        environment={"TOKEN_CACHE": "off", "REQUEST_LOG": "off"},
        request_log={"REQUEST_LOG": "on"},
    ),
    Server(
        "fastify-cached",
        "the same, with fast-jwt's cache of verified tokens",
        _FASTIFY,
        environment={"TOKEN_CACHE": "on", "REQUEST_LOG": "off"},
        request_log={"REQUEST_LOG": "on"},
    ),
    Server(
        "litestar",
        "Litestar, its JWT middleware, msgspec, asyncpg, 10 connections",
        [*_PYTHON_PEER, "litestar_app:app"],
        environment={**_QUIET, "REQUEST_LOG": "off"},
        request_log={"REQUEST_LOG": "on"},
    ),
    Server(
        "tutorial",
        "FastAPI and SQLModel with a sync session, as in their tutorials, 40 connections",
        [*_PYTHON_PEER, "tutorial:app"],
        environment=_QUIET,
        request_log={"UVICORN_LOG_LEVEL": "info", "UVICORN_ACCESS_LOG": "true"},
    ),
)


def on_another_python(interpreter: str) -> Server:
    """Our server on an interpreter that has its dependencies, named after the interpreter's version."""
    show = [interpreter, "-c", "import platform; print(platform.python_version())"]
    version = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
    return replace(
        OURS,
        name=f"ours-{version}",
        description=f"the same on Python {version}",
        command=[interpreter, *OURS.command[1:]],
    )


class ServerFailed(Exception):
    """A server does not start, or has exited."""


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """Host and port of a database; the host may be a socket directory."""

    database: str
    host: str
    port: int = 5432

    def environment(self) -> dict[str, str]:
        """The environment variables of libpq, which asyncpg and node-postgres also read."""
        return {"PGHOST": self.host, "PGPORT": str(self.port), "PGDATABASE": self.database, "PGUSER": "postgres"}

    def url(self) -> str:
        host = self.host.replace("/", "%2F")
        return f"postgresql://postgres@/{self.database}?host={host}&port={self.port}&sslmode=disable&gssencmode=disable"


class ServerProcess:
    """A running server. `seconds`: from its start to its first response."""

    def __init__(self, server: Server, folder: Path, environment: Mapping[str, str], token: str) -> None:
        self.name, self.folder, self._token = server.name, folder, token
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._command = [part.format(port=port) for part in server.command]
        self._environment = {**environment, "PORT": str(port)}
        self._log = folder / "log"
        self._start()

    def _start(self) -> None:
        started = time.perf_counter()
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl+C reaches this process only, which stops the server
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self.process, self.seconds = self._popen.pid, time.perf_counter() - started

    def _wait_until_ready(self) -> None:
        headers, deadline = {"Authorization": f"Bearer {self._token}"}, time.monotonic() + TIMEOUT
        with httpx2.Client(headers=headers, timeout=TIMEOUT, trust_env=False) as client:
            while time.monotonic() < deadline and self._popen.poll() is None:
                try:
                    if client.get(f"{self.url}/api/tasks").status_code == 200:
                        return
                except httpx2.TransportError:  # not listening yet
                    pass
                time.sleep(0.005)
        raise ServerFailed(f"{self.name} does not respond:\n{self._log.read_text()[-3000:]}")

    def is_running(self) -> bool:
        return self._popen.poll() is None

    def stop(self) -> None:
        _terminate(self._popen)

    def restart(self) -> None:
        self.stop()
        self._start()

    def log_lines(self) -> list[str]:
        return self._log.read_text().splitlines()

    def truncate_log(self) -> None:
        os.truncate(self._log, 0)


@contextmanager
def serving(
    server: Server, address: DatabaseAddress, issuer: Issuer, algorithm: Algorithm = "HS256", *, logged: bool = False
) -> Iterator[ServerProcess]:
    """A server that is ready when the context opens, and stopped when it closes. Raises ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        variables = environment(server, address, issuer, algorithm, logged=logged)
        process = ServerProcess(server, Path(folder), variables, issuer.token("nobody", algorithm))
        try:
            yield process
        finally:
            process.stop()


@contextmanager
def delayed(database: Database) -> Iterator[DatabaseAddress]:
    """The address of a proxy that adds 5 ms to each round trip to the database."""
    command = [sys.executable, "-m", "benchmarks.delay", f"{database.socket}/.s.PGSQL.5432"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_HERE.parent, start_new_session=True)
    assert process.stdout
    try:
        yield DatabaseAddress(database.name, "127.0.0.1", int(process.stdout.readline()))
    finally:
        _terminate(process)
        process.stdout.close()


def environment(
    server: Server, address: DatabaseAddress, issuer: Issuer, algorithm: Algorithm, *, logged: bool
) -> dict[str, str]:
    """The environment of this process without settings that could affect the server, plus those that it needs."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key.lower() not in Settings.model_fields and not key.startswith("PG")
    }
    own = {**server.environment, **(server.request_log if logged else {})}
    if server.is_ours:
        ours = {"DATABASE_URL": address.url(), "BETTER_AUTH_URL": issuer.url, "BETTER_AUTH_SECRET": SECRET}
        return {**inherited, **ours, "PYTHONPATH": str(_HERE.parent), **own}
    token_key = {"JWT_ALGORITHM": algorithm, "JWT_KEY": issuer.keys[algorithm]}
    token_claims = {"JWT_ISSUER": issuer.url, "JWT_AUDIENCE": issuer.url}
    inherited.pop("PYTHONPATH", None)
    return {**inherited, **address.environment(), **token_key, **token_claims, "NODE_ENV": "production", **own}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _terminate(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
