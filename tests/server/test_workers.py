"""The supervisor replaces workers that die, hang or cannot start, while the others serve."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest

from tests.cli.conftest import TIMEOUT, Serving, Todo, wait_until
from tests.faults.attack import workers

PROGRAM = """
import socket, sys
from entrypoints.observability import logs
from entrypoints.server.draining import DrainingHttpProtocol
from entrypoints.server.server import ServerConfig
from entrypoints.server.workers import Workers

if __name__ == "__main__":
    logs.configure(form="json")
    listener = socket.create_server(("127.0.0.1", 0))
    config = ServerConfig(
        "tests.server.hanging:application", workers=2, http=DrainingHttpProtocol, lifespan="on", log_config=None,
        timeout_worker_healthcheck=1, timeout_graceful_shutdown=1,
    )
    config.hang_timeout = 1
    Workers(config, [listener], lambda: print(listener.getsockname()[1], flush=True)).run()
"""
ROOT = Path(__file__).parents[2]


class Supervised:
    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process = process
        self.address = f"http://127.0.0.1:{port}"

    def workers(self) -> set[int]:
        return {*workers(self.process.pid)}

    def responding(self) -> int | None:
        """The worker that a new connection meets."""
        with suppress(httpx2.TransportError):
            return int(httpx2.get(self.address, timeout=1, trust_env=False).text)
        return None

    def is_replaced(self, worker: int) -> bool:
        return worker not in self.workers() and len(self.workers()) == 2 and self.responding() in self.workers()


@contextmanager
def supervised(folder: Path) -> Iterator[Supervised]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BROKEN": str(folder / "broken")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(program)], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout
    try:
        yield Supervised(process, int(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait(TIMEOUT)
        process.stdout.close()


def test_a_worker_whose_event_loop_hangs_is_replaced(tmp_path: Path) -> None:
    with supervised(tmp_path) as server:
        wait_until(lambda: len(server.workers()) == 2)
        before = server.workers()
        host, port = server.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until(lambda: before - server.workers())
        [hung] = before - server.workers()
        wait_until(lambda: server.is_replaced(hung))


def test_a_stopped_worker_is_replaced(tmp_path: Path) -> None:
    with supervised(tmp_path) as server:
        wait_until(lambda: len(server.workers()) == 2)
        stopped = next(iter(server.workers()))
        os.kill(stopped, signal.SIGSTOP)
        wait_until(lambda: server.is_replaced(stopped))


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files. Its path is short: that of a socket in it has 107 bytes at most."""
    with TemporaryDirectory() as name:
        yield Path(name)


def _workers(serving: Serving) -> set[int]:
    return Supervised(serving.process, 0).workers()


def test_a_worker_is_replaced_though_the_metrics_folder_was_deleted(todo: Todo, temporary: Path) -> None:
    todo.environment["TMPDIR"] = str(temporary)
    with todo.serve("--workers", "2", METRICS_PORT="0") as serving:
        wait_until(lambda: len(_workers(serving)) == 2)
        [folder] = temporary.glob("todo-metrics-*")
        wait_until(lambda: len([*folder.iterdir()]) == 2)
        for one in folder.iterdir():
            one.unlink()
        folder.rmdir()
        killed = next(iter(_workers(serving)))
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(_workers(serving) - {killed}) == 2)
        wait_until(lambda: folder.exists() and [*folder.iterdir()])
        address = next(line.split()[-1] for line in serving.said if line.startswith("Metrics at"))
        wait_until(lambda: "todo_workers 1.0" in httpx2.get(address, trust_env=False).text)
        assert serving.client().get("/healthz").status_code == 200
        assert serving.stop() == 0


def test_a_worker_that_cannot_be_replaced_is_tried_again_while_the_other_serves(tmp_path: Path) -> None:
    with supervised(tmp_path) as server:
        wait_until(lambda: len(server.workers()) == 2)
        killed, survivor = server.workers()
        wait_until(lambda: server.responding() == survivor)  # else it might meet the fault while it starts
        (tmp_path / "broken").touch()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: (tmp_path / "log").read_text().count("worker replaced") == 2)
        assert survivor in server.workers()
        wait_until(lambda: server.responding() == survivor)
        (tmp_path / "broken").unlink()
        wait_until(lambda: server.is_replaced(killed))
        assert survivor in server.workers()
