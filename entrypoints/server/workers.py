"""Several processes on one socket."""

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from threading import Thread

import uvicorn
from uvicorn.config import Config
from uvicorn.supervisors import Multiprocess, multiprocess

from entrypoints.server.server import Server

START_SECONDS = 60  # that the first worker may take


class _Worker(multiprocess.Process):
    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = Server(self.config)
        return self._server


multiprocess.Process = _Worker  # type: ignore[misc]  # the supervisor makes its workers of it, and cannot be told another


class Workers(Multiprocess):
    """`opened` is called when the first of them listens."""

    def __init__(self, config: Config, sockets: list[socket.socket], opened: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self._opened = opened

    def init_processes(self) -> None:
        super().init_processes()
        if self.processes[0].wait_until_ready(START_SECONDS):
            self._opened()

    def terminate_all(self) -> None:
        """Closes the socket here first: while it is open, the kernel takes connections that no worker will accept."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def leave_with_parent() -> None:
    """Stops this process, if it is a worker, when its parent is gone: killed, it could not tell its workers to stop."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_wait, args=[parent], daemon=True).start()


def _wait(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
