"""Runs `deploy/todo@.service` as systemd would, without its sandbox: its commands, signal and stop timeout."""

import asyncio
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from configparser import ConfigParser
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.deploy.installation import ROOT

UNIT = ROOT / "deploy/todo@.service"
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


def unit() -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.read_string(UNIT.read_text())
    return parser


class Service:
    """One instance of the unit: an install and a port."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder
        self._unit = unit()["Service"]
        self.log = folder / f"{port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Returns when the instance is ready."""
        await self._run("ExecStartPre")
        with self.log.open("a") as log:
            command = self._command("ExecStart")
            self.process = await asyncio.to_thread(
                subprocess.Popen, command, cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )
        await self._run("ExecStartPost")

    async def stop(self) -> float:
        """Returns how many seconds it took."""
        assert self.process
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.process.wait, int(self._unit["TimeoutStopSec"]))
        assert code == 0, self.log.read_text()
        return time.monotonic() - started

    @property
    def _environment(self) -> dict[str, str]:
        name, _, value = self._unit["Environment"].partition("=")
        return {**ENVIRONMENT, name: value.replace("%i", str(self.port))}

    def _command(self, name: str) -> list[str]:
        line = self._unit[name].replace("/opt/todo", str(self._folder)).replace("%i", str(self.port))
        return shlex.split(line)

    async def _run(self, name: str) -> None:
        done = await asyncio.to_thread(
            subprocess.run, self._command(name), cwd=self._folder, env=self._environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


@asynccontextmanager
async def started(folder: Path, port: int) -> AsyncIterator[Service]:
    service = Service(folder, port)
    try:
        await service.start()
        yield service
    finally:
        if service.process and service.process.poll() is None:
            await service.stop()


def free_instance() -> int:
    """A free port of four digits, whose metrics port is free too."""
    for port in range(2000 + os.getpid() % 5000, 10000):
        with (
            suppress(OSError),
            socket.create_server(("127.0.0.1", port)),
            socket.create_server(("127.0.0.1", 10000 + port)),
        ):
            return port
    raise AssertionError("no free port")
