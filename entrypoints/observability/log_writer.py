"""Log output that neither blocks nor fails, whatever becomes of the reader of standard error."""

import os
import select
import time
from collections import Counter, deque
from collections.abc import Callable
from threading import Event, Thread

MAX_WAITING = 4096  # lines; a second of requests at full speed, and 10 MB if all of them were tracebacks
BATCH_SECONDS = 0.02  # lines are collected for so long: a write per request would cost more than the line itself
MAX_REPEATS = 100  # lines a second of one kind


class LogWriter:
    """A text stream in front of a file descriptor. One thread writes; a line for which there is no room is dropped.

    `report` is called, in that thread, with the number of lines that were dropped or suppressed since the last report,
    by kind; at most once a second.
    """

    def __init__(self, descriptor: int, report: Callable[[Counter[str]], None]) -> None:
        self._descriptor = descriptor
        self._report = report
        self._lines: deque[str] = deque()
        self._wake = Event()
        self._thread: Thread | None = None
        self._is_writing = False
        self._missing: Counter[str] = Counter()
        self._reported = 0.0

    def write(self, line: str) -> None:
        if len(self._lines) < MAX_WAITING:
            self._lines.append(line)
            if not self._is_writing:
                self._start()
        else:
            self._missing["dropped"] += 1

    def flush(self) -> None:
        """Nothing: loggers call it for every line."""

    def missing(self, kind: str) -> None:
        """Counts a line that is not written, for the next report."""
        self._missing[kind] += 1
        if not self._is_writing:
            self._start()

    def drain(self, seconds: float = 1) -> None:
        """Waits until all lines are written, but not longer than that."""
        deadline = time.monotonic() + seconds
        while (self._is_writing or self._lines or self._missing) and time.monotonic() < deadline:
            self._reported = 0.0
            self._wake.set()
            time.sleep(0.002)

    def _start(self) -> None:
        self._is_writing = True
        if self._thread is None:
            self._thread = Thread(target=self._run, name="log", daemon=True)
            self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(1 if self._missing else None)
            self._wake.clear()
            time.sleep(BATCH_SECONDS)
            self._write_waiting()
            if self._missing and time.monotonic() - self._reported >= 1:
                self._reported = time.monotonic()
                missing, self._missing = self._missing, Counter()
                self._report(missing)
            self._is_writing = False
            if self._lines:  # added before that
                self._wake.set()

    def _write_waiting(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        data = "".join(lines).encode(errors="backslashreplace")
        try:
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:  # a program that shares the descriptor has made it non-blocking
                    select.select([], [self._descriptor], [])
        except OSError:  # nobody reads any more; the server serves on
            self._missing["dropped"] += len(lines)


class Repeats:
    """Which lines to write, if there are many of one kind: the first MAX_REPEATS of each second."""

    def __init__(self) -> None:
        self._second = 0
        self._seen: Counter[str] = Counter()

    def is_too_many(self, kind: str) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._seen.clear()
        self._seen[kind] += 1
        return self._seen[kind] > MAX_REPEATS
