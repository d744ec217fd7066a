"""The processes of a cluster's nodes, where they run on this machine as those of a user that the tests may become."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.cli.conftest import wait_until


class Node:
    """A PostgreSQL server, which tests kill, freeze and start again."""

    def __init__(self, conninfo: str, host: str, port: int) -> None:
        self.port = str(port)
        self.conninfo = make_conninfo(conninfo, host=host, port=port)
        [[data]] = self.execute("SHOW data_directory")
        try:
            self._pid = int(Path(data, "postmaster.pid").read_text().split()[0])
            self._command = Path(f"/proc/{self._pid}/cmdline").read_bytes().decode().split("\0")[:-1]
            environment = Path(f"/proc/{self._pid}/environ").read_bytes().decode().split("\0")[:-1]
            self._environment = dict(variable.split("=", 1) for variable in environment)
            self._user = Path(f"/proc/{self._pid}").stat()
        except OSError:
            pytest.skip("needs a cluster whose nodes run on this machine")
        self._data = Path(data)

    def execute(self, query: str) -> list[Any]:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """As if the machine lost power, but for what the kernel has not written yet."""
        self._signal(signal.SIGKILL, self._pid, *self._sessions())
        wait_until(lambda: not self._alive())

    def start(self) -> None:
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        log = self._data.with_suffix(".log")
        in_background = f'"$0" "$@" >>{log} 2>&1 &'
        subprocess.run(
            ["sh", "-c", in_background, *self._command],
            user=self._user.st_uid,
            group=self._user.st_gid,
            cwd=self._data,
            env=self._environment,
            start_new_session=True,
            check=True,
        )
        wait_until(self._ready)
        self._pid = int(Path(self._data, "postmaster.pid").read_text().split()[0])

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP, self._pid, *self._sessions())

    def thaw(self) -> None:
        self._signal(signal.SIGCONT, self._pid, *self._sessions())

    def _sessions(self) -> Sequence[int]:
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return [int(child) for child in children]

    def _signal(self, number: signal.Signals, *pids: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _alive(self) -> bool:
        status = Path(f"/proc/{self._pid}/stat")
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"

    def _ready(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def workers(coordinator: str) -> list[Node]:
    with psycopg.connect(coordinator) as connection:
        found = connection.execute(
            "SELECT nodename, nodeport FROM pg_dist_node WHERE shouldhaveshards ORDER BY nodeid"
        ).fetchall()
    return [Node(coordinator, name, port) for name, port in found]


def coordinator(conninfo: str) -> Node:
    parts = conninfo_to_dict(conninfo)
    return Node(conninfo, str(parts["host"]), int(str(parts.get("port") or 5432)))
