"""Start and stop as seen by a reverse proxy: no request is lost, and none waits for a server to start."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import TIMEOUT, Serving, Todo, processes, wait_until
from tests.cli.test_serve import WAITS_FOR_A_LOCK, accepts_connections


def _port(server: Serving) -> int:
    return int(server.address.rpartition(":")[2])


@contextmanager
def _connection(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_on_an_open_connection_is_answered_during_shutdown(todo: Todo, workers: str) -> None:
    with todo.serve("--workers", workers) as server, _connection(_port(server)) as connection:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert (answer.read(), answer.getheader("Connection")) == (b'{"status":"ok"}', None)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not accepts_connections(_port(server)))
        while answer.getheader("Connection") != "close":
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert answer.read() == b'{"status":"ok"}'
        assert server.process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_in_the_accept_queue_is_answered_during_shutdown(todo: Todo, workers: str) -> None:
    with todo.serve("--workers", workers) as server, _connection(_port(server)) as connection:
        serving = processes(server.process.pid)
        for process in serving:
            os.kill(process, signal.SIGSTOP)  # the kernel alone takes the connection
        connection.request("GET", "/healthz")
        server.process.send_signal(signal.SIGTERM)
        for process in serving:
            os.kill(process, signal.SIGCONT)
        assert connection.getresponse().read() == b'{"status":"ok"}'
        assert server.process.wait(TIMEOUT) == 0


def test_draining_workers_accept_no_new_connections(todo: Todo) -> None:
    with todo.serve("--workers", "2") as server, ThreadPoolExecutor() as together:
        alice = server.client(todo.token("alice"))
        sockets = (todo.folder / ".todo/postgres/postmaster.pid").read_text().splitlines()[4]
        with psycopg.connect(f"host={sockets} user=postgres dbname=postgres") as somebody:
            somebody.execute("LOCK TABLE tasks IN EXCLUSIVE MODE")
            waiting = together.submit(alice.post, "/api/tasks", json={"title": "Buy milk"})
            with psycopg.connect(f"host={sockets} user=postgres dbname=postgres", autocommit=True) as watching:
                wait_until(lambda: watching.execute(WAITS_FOR_A_LOCK).fetchone())
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: waiting.done() or not accepts_connections(_port(server)))
            assert not waiting.done()
        assert waiting.result(TIMEOUT).status_code == 201
        assert server.process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_connection_accepted_during_startup_is_answered_at_once(todo: Todo, workers: str) -> None:
    """By a process that has loaded the application: since it accepted, it has worked little. (Time proves nothing on a
    busy machine.)"""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = todo.command("serve", "--private", "--port", str(port), "--workers", workers)
    process = subprocess.Popen(command, cwd=todo.folder, env=todo.environment, stdout=-3, stderr=-3)
    try:
        while not accepts_connections(port):
            assert process.poll() is None
            time.sleep(0.001)
        before = {pid: _worked(pid) for pid in _serving(process.pid, workers)}
        with _connection(port) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
        assert any(_worked(pid) - worked < worked / 2 for pid, worked in before.items())
    finally:
        process.terminate()
        assert process.wait(TIMEOUT) == 0


def _serving(pid: int, workers: str) -> list[int]:
    if workers == "1":
        return [pid]
    return [child for child in processes(pid) if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


def _worked(pid: int) -> float:
    """Seconds on a CPU."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
