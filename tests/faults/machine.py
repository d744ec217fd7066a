"""Time lost to other work on the machine, which no bound counts: it is not the product's.

Linux counts for each thread how long it was ready to run and waited for a CPU. Elsewhere nothing is known to be lost,
and the bounds hold for the time that really passed.
"""

import asyncio
from bisect import bisect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

INTERVAL = 0.05  # seconds


class LostTime:
    """How long some processes waited for a CPU, at any time since `watch` began. Times are those of the event loop."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []
        self._waited: Mapping[int, float] = {}

    async def watch(self, processes: Callable[[], Collection[int]]) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self.add(clock(), {process: waited(process) for process in processes()})
            await asyncio.sleep(INTERVAL)

    def add(self, now: float, waited: Mapping[int, float]) -> None:
        """`waited`: seconds of each process so far. If several wait at once, no more than the time passed is lost."""
        then, lost = self._samples[-1] if self._samples else (now, 0.0)
        more = sum(seconds - self._waited.get(process, 0.0) for process, seconds in waited.items())
        self._samples.append((now, lost + min(now - then, max(0.0, more))))
        self._waited = waited

    def between(self, began: float, ended: float) -> float:
        """Seconds lost."""
        return self._until(ended) - self._until(began)

    def _until(self, time: float) -> float:
        n = bisect(self._samples, (time, 0.0))
        if n in (0, len(self._samples)):
            return self._samples[n - 1][1] if n else 0.0
        (before, lost), (after, more) = self._samples[n - 1 : n + 1]
        return lost + (more - lost) * (time - before) / (after - before)


def waited(process: int) -> float:
    """Seconds that the threads of a process have waited for a CPU (Linux, Documentation/scheduler/sched-stats.rst)."""
    return sum(int("".join(_read(thread / "schedstat").split()[1:2]) or 0) for thread in _threads(process)) / 1e9


def with_children(process: int) -> list[int]:
    return [process, *(int(child) for thread in _threads(process) for child in _read(thread / "children").split())]


def _threads(process: int) -> list[Path]:
    return [*Path("/proc").glob(f"{process}/task/*")]


def _read(file: Path) -> str:
    """Empty if the process has ended."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
