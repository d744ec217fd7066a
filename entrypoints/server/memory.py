"""Returns memory to the operating system after it was needed for a while."""

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

_STATM = Path("/proc/self/statm")
GROWTH = 1.1  # times the memory after the start; below that, there is nothing to look for
FRUITFUL = 0.97  # times the memory before: otherwise the next search is later
SHORTEST, LONGEST = 5, 60  # seconds between searches


class Memory:
    """Long lists and bursts leave free blocks between used ones, which glibc keeps. Looking for them takes some
    milliseconds, so it is done rarely where it finds nothing. Has no effect without glibc."""

    def __init__(self) -> None:
        self._trim = None
        if _STATM.exists():
            with suppress(OSError, AttributeError):
                self._trim = ctypes.CDLL("libc.so.6").malloc_trim
        self._at_start = _resident()
        self._interval = self._next = SHORTEST

    def tick(self, seconds: int) -> None:
        """Called with the time since the start."""
        if self._trim is None or seconds < self._next:
            return
        before = _resident()
        if before > GROWTH * self._at_start:
            gc.collect()
            self._trim(0)
            fruitful = _resident() < FRUITFUL * before
            self._interval = SHORTEST if fruitful else min(2 * self._interval, LONGEST)
        self._next = seconds + self._interval


def _resident() -> int:
    """Pages."""
    return int(_STATM.read_text().split()[1]) if _STATM.exists() else 0
