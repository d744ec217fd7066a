"""One measurement, and rounds of them: within a round everybody has a turn, so that whatever else the machine does
hits all alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import accounting
from benchmarks.data import Database
from benchmarks.load import load
from benchmarks.servers import Server

WARM_UP_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured."""

    scenario: str
    operation: str
    connections: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Microseconds of CPU for each request, requests a second, milliseconds, MiB; how many were refused or not
    answered at all."""

    server: float
    database: float
    throughput: float
    p50: float
    p99: float
    memory: float
    failed: float

    @property
    def total(self) -> float:
        return self.server + self.database


Results = dict[Case, dict[str, Measured]]
"""By case and server."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server, the database that it works on, and the file of those who call."""

    name: str
    server: Server
    database: Database
    callers: Path

    def measure(self, case: Case, seconds: int, seed: int) -> Measured:
        """Begins with everything at rest, and without what was created before."""
        self.database.tidy()
        accounting.wait_until_idle(self.server.process, self.database.process)
        server, database = self._spent()
        asked = (self.server.url, case.operation, self.callers)
        answered = load(*asked, connections=case.connections, seconds=seconds, seed=seed)
        server, database = self._spent()[0] - server, self._spent()[1] - database
        self.server.forget_log()
        return Measured(
            server=server / max(answered.requests, 1) * 1e6,
            database=database / max(answered.requests, 1) * 1e6,
            throughput=answered.requests / answered.seconds,
            p50=answered.p50,
            p99=answered.p99,
            memory=accounting.memory(self.server.process),
            failed=answered.refused + answered.broken + (0 if answered.requests else case.connections),
        )

    def _spent(self) -> tuple[float, float]:
        return accounting.cpu(self.server.process), accounting.cpu(self.database.process)


def in_turn(
    case: Case, contestants: Sequence[Contestant], *, rounds: int, seconds: int, say: Callable[[str], None]
) -> dict[str, Measured]:
    """What comes out of the rounds for each, which `say` is told. Another one begins each round. Whoever fails is out,
    and is started again for what comes next."""
    taken: dict[str, list[Measured]] = {each.name: [] for each in contestants}
    for number in range(1 + rounds):
        first = number % len(contestants)
        for each in (*contestants[first:], *contestants[:first]):
            if not _failed(taken[each.name]):
                taken[each.name].append(each.measure(case, seconds if number else WARM_UP_SECONDS, seed=number))
    for each in contestants:
        if _failed(taken[each.name]):
            each.server.restart()
    outcome = {name: _outcome(measured) for name, measured in taken.items()}
    for name, measured in outcome.items():
        say(_line(case, name, measured))
    return outcome


def _outcome(taken: Sequence[Measured]) -> Measured:
    """The median of each figure, warming up left out; but not one failure is passed over."""
    counted = taken[1:] or taken
    medians = {name: median(getattr(each, name) for each in counted) for name in Measured.__slots__}
    return Measured(**{**medians, "failed": _failed(taken)})


def _failed(taken: Sequence[Measured]) -> float:
    return sum(each.failed for each in taken)


HEAD = (
    "scenario, connections, operation, server: CPU of server + database for each request, throughput, latency, memory"
)


def _line(case: Case, name: str, measured: Measured) -> str:
    words = f"{case.scenario:<6}{case.connections:>4} {case.operation:<9} {name:<9}"
    words += f"{measured.server:7.0f} + {measured.database:4.0f} us {measured.throughput:8.0f}/s"
    words += f"   p50 {measured.p50:7.2f}  p99 {measured.p99:7.2f} ms {measured.memory:5.0f} MB"
    return words + (f"   {measured.failed:.0f} UNANSWERED" if measured.failed else "")
