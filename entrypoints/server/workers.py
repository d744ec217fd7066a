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

from entrypoints.server.server import GracefulServer


class _Worker(multiprocess.Process):
    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = GracefulServer(self.config)
        return self._server


class Workers(Multiprocess):
    """Supervises `config.workers` processes. `on_listening` is called once the first of them listens.

    The first worker has `start_timeout` seconds for that; later, or never, it is not called.
    """

    def __init__(
        self,
        config: Config,
        sockets: list[socket.socket],
        on_listening: Callable[[], None],
        *,
        start_timeout: float = 60,
    ) -> None:
        super().__init__(config, sockets)
        self._on_listening = on_listening
        self._start_timeout = start_timeout

    def run(self) -> None:
        """Starts the workers, replaces those that die, and returns after SIGTERM or SIGINT, when all have exited.

        uvicorn's supervisor has no parameter for the class of its workers. It looks the class up in its module, where
        ours stands in for it while the supervisor runs.
        """
        original = multiprocess.Process
        multiprocess.Process = _Worker  # type: ignore[misc]
        try:
            super().run()
        finally:
            multiprocess.Process = original  # type: ignore[misc]

    def init_processes(self) -> None:
        super().init_processes()
        if self.processes[0].wait_until_ready(self._start_timeout):
            self._on_listening()

    def terminate_all(self) -> None:
        """Closes the supervisor's copy of the socket first: while it is open, the kernel queues connections that no
        worker accepts."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def exit_with_parent() -> None:
    """Makes a worker stop gracefully when its parent process dies, even by SIGKILL."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_stop_after, args=[parent], daemon=True).start()


def _stop_after(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
