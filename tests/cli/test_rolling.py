"""Start and stop as a proxy in front sees them: nothing that was sent is lost, and nobody waits for a start."""

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

from tests.cli.conftest import PATIENCE, Serving, Todo
from tests.cli.test_serve import takes_connections


def _port(server: Serving) -> int:
    return int(server.address.rpartition(":")[2])


@contextmanager
def _connection(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        yield connection
    finally:
        connection.close()


def _processes(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(process for child in children for process in _processes(int(child)))]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_on_an_open_connection_is_answered_after_a_stop_has_begun(todo: Todo, workers: str) -> None:
    with todo.serve("--workers", workers) as server, _connection(_port(server)) as connection:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert (answer.read(), answer.getheader("Connection")) == (b'{"status":"ok"}', None)
        server.process.send_signal(signal.SIGTERM)
        while takes_connections(_port(server)):
            pass
        while answer.getheader("Connection") != "close":
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert answer.read() == b'{"status":"ok"}'
        assert server.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_that_nobody_had_accepted_when_the_stop_began_is_answered(todo: Todo, workers: str) -> None:
    with todo.serve("--workers", workers) as server, _connection(_port(server)) as connection:
        serving = _processes(server.process.pid)
        for process in serving:
            os.kill(process, signal.SIGSTOP)  # the kernel alone takes the connection
        connection.request("GET", "/healthz")
        server.process.send_signal(signal.SIGTERM)
        for process in serving:
            os.kill(process, signal.SIGCONT)
        assert connection.getresponse().read() == b'{"status":"ok"}'
        assert server.process.wait(PATIENCE) == 0


def test_workers_that_finish_their_work_take_no_connections_meanwhile(todo: Todo) -> None:
    with todo.serve("--workers", "2") as server, ThreadPoolExecutor() as together:
        alice = server.client(todo.token("alice"))
        sockets = (todo.folder / ".todo/postgres/postmaster.pid").read_text().splitlines()[4]
        with psycopg.connect(f"host={sockets} user=postgres dbname=postgres") as somebody:
            somebody.execute("LOCK TABLE tasks IN EXCLUSIVE MODE")
            waiting = together.submit(alice.post, "/api/tasks", json={"title": "Buy milk"})
            with psycopg.connect(f"host={sockets} user=postgres dbname=postgres", autocommit=True) as watching:
                while not watching.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone():
                    pass
            server.process.send_signal(signal.SIGTERM)
            while takes_connections(_port(server)):
                assert not waiting.done()
        assert waiting.result(PATIENCE).status_code == 201
        assert server.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_whoever_is_let_in_while_a_server_starts_is_answered_at_once(todo: Todo, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    began = time.monotonic()
    command = todo.command("serve", "--port", str(port), "--workers", workers)
    process = subprocess.Popen(command, cwd=todo.folder, env=todo.environment, stdout=-3, stderr=-3)
    try:
        while not takes_connections(port):
            assert process.poll() is None
        opened = time.monotonic()
        with _connection(port) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
        assert time.monotonic() - opened < (opened - began) / 2
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
