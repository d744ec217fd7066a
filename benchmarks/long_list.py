"""Effect of one very long list on the latency of other requests, and on memory."""

import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import httpx2

from benchmarks import accounting, report
from benchmarks.data import Database, Owner
from benchmarks.load import LoadResult, load, write_callers
from benchmarks.servers import OURS, DatabaseAddress, ServerProcess, serving
from benchmarks.tokens import Issuer

TASKS = 100_000
SECONDS = 6
LONGEST_STALL = 20  # milliseconds
MOST_GROWTH = 8  # MiB
_OWNER = "owner-of-many"


@dataclass(frozen=True, slots=True)
class LongList:
    """`seconds` and `megabytes` of one list; `growth` is the peak of resident memory above the value before, in MiB.
    The load by another user is measured `alone` and during the lists (`meanwhile`)."""

    lists: int
    seconds: float
    megabytes: float
    growth: float
    alone: LoadResult
    meanwhile: LoadResult


def measure(database: Database, owners: Mapping[str, Sequence[Owner]], issuer: Issuer) -> LongList:
    last = max(owner.tasks[-1] for owner in owners["small"])
    database.insert(f"'{_OWNER}'", TASKS, above=last * 2)
    database.settle()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        serving(OURS, DatabaseAddress(database.name, database.socket), issuer) as server,
    ):
        callers = Path(folder) / "callers"
        write_callers(callers, owners, issuer, "HS256")
        load(server.url, "get", callers, connections=1, seconds=1)
        alone = load(server.url, "get", callers, connections=1, seconds=SECONDS)
        return _meanwhile(server, callers, issuer.token(_OWNER), alone)


def _meanwhile(server: ServerProcess, callers: Path, token: str, alone: LoadResult) -> LongList:
    before = accounting.memory(server.process)
    accounting.reset_peak(server.process)
    reader = _Reader(f"{server.url}/api/tasks", token)
    reader.start()
    meanwhile = load(server.url, "get", callers, connections=1, seconds=SECONDS)
    reader.stop()
    growth = accounting.peak(server.process) - before
    if not reader.taken:
        raise RuntimeError("no response with the long list was received")
    return LongList(len(reader.taken), min(reader.taken), reader.size / 1e6, growth, alone, meanwhile)


class _Reader(threading.Thread):
    """Requests the long list repeatedly, and reads it as fast as possible."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(daemon=True)
        self._url, self._headers = url, {"Authorization": f"Bearer {token}"}
        self._stopping = threading.Event()
        self.taken: list[float] = []
        self.size = 0

    def run(self) -> None:
        with httpx2.Client(headers=self._headers, timeout=60, trust_env=False) as client:
            while not self._stopping.is_set():
                started = perf_counter()
                with client.stream("GET", self._url) as response:
                    response.raise_for_status()
                    self.size = sum(len(part) for part in response.iter_raw())
                self.taken.append(perf_counter() - started)

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def text(long: LongList) -> str:
    """The results as Markdown."""
    rows = [
        [name, f"{load_.requests / load_.seconds:.0f}", f"{load_.p50:.2f}", f"{load_.p99:.2f}", f"{load_.slowest:.1f}"]
        for name, load_ in (("alone", long.alone), ("meanwhile", long.meanwhile))
    ]
    stall, growth = long.meanwhile.slowest, long.growth
    return "\n".join(
        [
            f"One user with {TASKS:,} tasks lists all of them, {long.lists} times in a row, while another user",
            "reads single tasks.\n",
            f"- The whole list: {long.megabytes:.1f} MB of JSON, in {long.seconds:.2f} s.",
            f"- Peak memory above the resident memory before: {growth:.1f} MiB"
            f" (target {MOST_GROWTH}: {_verdict(growth <= MOST_GROWTH)}).",
            f"- Slowest response to the other user: {stall:.1f} ms"
            f" (target {LONGEST_STALL}: {_verdict(stall < LONGEST_STALL)}).\n",
            report.table(["other user", "requests/s", "p50 ms", "p99 ms", "slowest ms"], rows),
        ]
    )


def _verdict(reached: bool) -> str:
    return "reached" if reached else "**missed**"
