"""Several processes on one socket."""

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from threading import Thread

import structlog
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess, multiprocess

from entrypoints.server.server import GracefulServer, ServerConfig

RETRY_SECONDS = 5  # between attempts to replace a worker that cannot start

_log = structlog.get_logger()


class _Worker(multiprocess.Process):
    config: ServerConfig
    _server: GracefulServer | None

    @property
    def server(self) -> GracefulServer:
        if self._server is None:
            self._server = GracefulServer(self.config)
        return self._server

    def pong(self) -> None:
        """uvicorn's thread would respond for a process whose event loop hangs. This one waits for the event loop."""
        self.child_conn.recv()
        while self.server.started and time.monotonic() - self.server.last_tick > self.config.hang_timeout:
            time.sleep(0.1)
        self.child_conn.send(self.server.started)


class Workers(Multiprocess):
    """Supervises `config.workers` processes. `on_listening` is called once the first of them listens.

    The first worker has `start_timeout` seconds for that; later, or never, it is not called. Workers that die or hang
    are replaced. One that cannot be replaced is tried again; the others serve on. If none has ever listened, the
    configuration is at fault, and the supervisor stops.
    """

    def __init__(
        self,
        config: ServerConfig,
        sockets: list[socket.socket],
        on_listening: Callable[[], None],
        *,
        start_timeout: float = 60,
    ) -> None:
        super().__init__(config, sockets)
        self._on_listening = on_listening
        self._start_timeout = start_timeout
        self._has_listened = False
        self._retry_at = 0.0

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
            self._has_listened = True
            self._on_listening()

    def keep_subprocess_alive(self) -> None:
        if not self._has_listened:
            super().keep_subprocess_alive()
            self._has_listened = any(process.is_ready() for process in self.processes)
            return
        for index, process in enumerate(self.processes):
            if not self.should_exit.is_set() and not process.is_alive(self.config.timeout_worker_healthcheck):
                self._replace(index, process)

    def _replace(self, index: int, process: multiprocess.Process) -> None:
        if process.exitcode == STARTUP_FAILURE and time.monotonic() < self._retry_at:
            return
        process.kill()
        process.join()
        _log.warning("worker replaced", pid=process.pid, exit_code=process.exitcode)
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self.processes[index] = multiprocess.Process(self.config, self.sockets)
        self.processes[index].start()

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
