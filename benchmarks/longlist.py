"""One owner with very many tasks asks for all of them, while others go on asking for little."""

import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import httpx2

from benchmarks import accounting, report
from benchmarks.data import Database, Owner
from benchmarks.load import Answered, load, write_callers
from benchmarks.servers import Position, Server, serving
from benchmarks.tokens import Issuer

TASKS = 100_000
SECONDS = 6
LONGEST_STALL = 20  # milliseconds
MOST_GROWN = 8  # MiB
_OWNER = "hoarder"


@dataclass(frozen=True, slots=True)
class LongList:
    """`seconds` for all of it and `megabytes` of JSON, each time; `grown` is MiB of memory at the peak beyond what was
    resident before. What others see: alone, and meanwhile."""

    lists: int
    seconds: float
    megabytes: float
    grown: float
    alone: Answered
    meanwhile: Answered


def measure(database: Database, owners: Mapping[str, Sequence[Owner]], issuer: Issuer) -> LongList:
    last = max(owner.tasks[-1] for owner in owners["small"])
    database.insert(f"'{_OWNER}'", TASKS, above=last * 2)
    database.settle()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        serving("ours", Position(database.name, database.socket), issuer) as server,
    ):
        callers = Path(folder) / "callers"
        write_callers(callers, owners, issuer, "HS256")
        load(server.url, "get", callers, connections=1, seconds=1)
        alone = load(server.url, "get", callers, connections=1, seconds=SECONDS)
        return _meanwhile(server, callers, issuer.token(_OWNER), alone)


def _meanwhile(server: Server, callers: Path, token: str, alone: Answered) -> LongList:
    before = accounting.memory(server.process)
    accounting.forget_peak(server.process)
    reader = _Reader(f"{server.url}/api/tasks", token)
    reader.start()
    meanwhile = load(server.url, "get", callers, connections=1, seconds=SECONDS)
    reader.stop()
    grown = accounting.peak(server.process) - before
    if not reader.taken:
        raise RuntimeError("the long list was never answered")
    return LongList(len(reader.taken), min(reader.taken), reader.size / 1e6, grown, alone, meanwhile)


class _Reader(threading.Thread):
    """Asks for the long list again and again, and reads it as fast as it comes."""

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
                with client.stream("GET", self._url) as answer:
                    answer.raise_for_status()
                    self.size = sum(len(part) for part in answer.iter_raw())
                self.taken.append(perf_counter() - started)

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def text(long: LongList) -> str:
    """In Markdown."""
    rows = [
        [name, f"{seen.requests / seen.seconds:.0f}", f"{seen.p50:.2f}", f"{seen.p99:.2f}", f"{seen.slowest:.1f}"]
        for name, seen in (("alone", long.alone), ("meanwhile", long.meanwhile))
    ]
    stall, grown = long.meanwhile.slowest, long.grown
    return "\n".join(
        [
            f"One owner with {TASKS:,} tasks asks for all of them, {long.lists} times in a row, while somebody else",
            "reads one task after the other.\n",
            f"- All of them: {long.megabytes:.1f} MB of JSON, in {long.seconds:.2f} s.",
            f"- Memory at the peak, beyond what was resident before: {grown:.1f} MiB"
            f" (target {MOST_GROWN}: {_verdict(grown <= MOST_GROWN)}).",
            f"- The longest that the other had to wait: {stall:.1f} ms"
            f" (target {LONGEST_STALL}: {_verdict(stall < LONGEST_STALL)}).\n",
            report.table(["the other", "requests/s", "p50 ms", "p99 ms", "slowest ms"], rows),
        ]
    )


def _verdict(reached: bool) -> str:
    return "reached" if reached else "**missed**"
