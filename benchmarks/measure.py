"""Measurements, interleaved in rounds: every server is measured once per round, so that other load on the machine
affects all of them alike."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks import accounting
from benchmarks.data import Database
from benchmarks.load import LoadFailed, load
from benchmarks.servers import ServerFailed, ServerProcess

WARM_UP_SECONDS = 1
LOG_SECONDS = 2  # for the last lines to be written


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: an operation in a scenario."""

    scenario: str
    operation: str
    connections: int

    @property
    def label(self) -> str:
        return self.operation if self.scenario == "near" else f"{self.operation} ({self.scenario})"


@dataclass(frozen=True, slots=True)
class Measurement:
    """CPU per request in microseconds (server, database), requests a second, latencies in milliseconds, MiB; `failed`
    counts error responses, requests without a response, and missing log lines."""

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


Results = dict[Case, dict[str, Measurement]]
"""Measurements by case and server."""


@dataclass(frozen=True, slots=True)
class SystemUnderTest:
    """A server, its database, the file of callers, and whether the server logs each request."""

    name: str
    server: ServerProcess
    database: Database
    callers: Path
    logged: bool = False

    def measure(self, case: Case, seconds: int, seed: int) -> Measurement:
        """Starts when both processes are idle, without tasks created by earlier measurements."""
        self.database.tidy()
        accounting.wait_until_idle(self.server.process, self.database.process)
        self.server.truncate_log()
        before = self._cpu()
        try:
            result = load(
                self.server.url, case.operation, self.callers, connections=case.connections, seconds=seconds, seed=seed
            )
        except LoadFailed:
            return _nothing(case)
        after = self._cpu()
        if not self.server.is_running():
            return _nothing(case)
        server, database = (now - then for now, then in zip(after, before, strict=True))
        unlogged = self._missing_log_lines(result.requests) if self.logged else 0
        return Measurement(
            server=server / max(result.requests, 1) * 1e6,
            database=database / max(result.requests, 1) * 1e6,
            throughput=result.requests / result.seconds,
            p50=result.p50,
            p99=result.p99,
            memory=accounting.memory(self.server.process),
            failed=result.errors + result.lost + unlogged + (0 if result.requests else case.connections),
        )

    def _cpu(self) -> tuple[float, float]:
        return accounting.cpu(self.server.process), accounting.cpu(self.database.process)

    def _missing_log_lines(self, requests: int) -> int:
        """Servers collect lines before they write them, so the last ones take a moment."""
        deadline = time.monotonic() + LOG_SECONDS
        while (missing := requests - len(self.server.log_lines())) > 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        return max(missing, 0)


def _nothing(case: Case) -> Measurement:
    """The server does not accept connections, or has exited."""
    return Measurement(0, 0, throughput=0, p50=0, p99=0, memory=0, failed=case.connections)


def measure_interleaved(
    case: Case, systems: Sequence[SystemUnderTest], *, rounds: int, seconds: int, echo: Callable[[str], None]
) -> dict[str, Measurement]:
    """The medians of all rounds by server, also printed with `echo`. The order rotates with each round. A server that
    fails requests is not measured again in this case, and is restarted afterwards."""
    taken: dict[str, list[Measurement]] = {system.name: [] for system in systems}
    for number in range(1 + rounds):
        first = number % len(systems)
        for system in (*systems[first:], *systems[:first]):
            if not _failed(taken[system.name]):
                taken[system.name].append(system.measure(case, seconds if number else WARM_UP_SECONDS, seed=number))
    for system in systems:
        if _failed(taken[system.name]):
            with suppress(ServerFailed):  # then it also fails in the cases that follow
                system.server.restart()
    medians = {name: _median(measured) for name, measured in taken.items()}
    for name, measured in medians.items():
        echo(_line(case, name, measured))
    return medians


def _median(taken: Sequence[Measurement]) -> Measurement:
    """The median of each figure without the warm-up. Failures are summed up instead, so that none is hidden."""
    counted = taken[1:] or taken
    medians = {name: median(getattr(each, name) for each in counted) for name in Measurement.__slots__}
    return Measurement(**{**medians, "failed": _failed(taken)})


def _failed(taken: Sequence[Measurement]) -> float:
    return sum(each.failed for each in taken)


def save(file: Path, case: Case, measured: Mapping[str, Measurement]) -> None:
    """Appends the measurements of a case as lines of JSON, so that those of an interrupted run are not lost."""
    with file.open("a") as lines:
        for name, figures in measured.items():
            lines.write(json.dumps({**asdict(case), "name": name, **asdict(figures)}) + "\n")


HEAD = (
    "scenario, connections, operation, server: CPU of server + database for each request, throughput, latency, memory"
)


def _line(case: Case, name: str, measured: Measurement) -> str:
    line = f"{case.scenario:<6}{case.connections:>4} {case.operation:<9} {name:<14}"
    line += f"{measured.server:7.0f} + {measured.database:4.0f} us {measured.throughput:8.0f}/s"
    line += f"   p50 {measured.p50:7.2f}  p99 {measured.p99:7.2f} ms {measured.memory:5.0f} MB"
    return line + (f"   {measured.failed:.0f} FAILED" if measured.failed else "")
