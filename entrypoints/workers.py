"""What a worker owes to the process that started it."""

import multiprocessing
import os
import signal
from threading import Thread


def leave_with_parent() -> None:
    """Stops this process, if it is a worker, when its parent is gone: killed, it could not tell its workers to stop."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_wait, args=[parent], daemon=True).start()


def _wait(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
