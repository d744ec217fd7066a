"""Scenarios: the operations that all servers are measured with, and the conditions."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import accounting, conformance
from benchmarks.data import Database, Owner, fill
from benchmarks.load import OPERATIONS, write_callers
from benchmarks.measure import Case, Results, SystemUnderTest, measure_interleaved
from benchmarks.servers import DatabaseAddress, delayed, serving
from benchmarks.tokens import Algorithm, Issuer

STARTS = 3


@dataclass(frozen=True, slots=True)
class Scenario:
    """Operations, numbers of connections, and conditions of some measurements."""

    name: str
    title: str
    operations: Sequence[str]
    connections: Sequence[int]
    algorithm: Algorithm = "HS256"
    far: bool = False  # whether the database is 5 ms away


SCENARIOS = (
    Scenario("near", "HS256 tokens, the database on the same machine", OPERATIONS, (32, 1, 256)),
    Scenario("eddsa", "EdDSA tokens, the database on the same machine", ("get",), (32,), algorithm="EdDSA"),
    Scenario("far", "HS256 tokens, the database 5 ms away (there and back)", ("get", "create"), (32, 256), far=True),
)


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from process start to first response, and MiB resident then."""

    seconds: float
    memory: float


class Bench:
    """One database, filled once, and the measurements on it."""

    def __init__(self, database: Database, issuer: Issuer) -> None:
        self._database, self._issuer = database, issuer
        self._near = DatabaseAddress(database.name, database.socket)
        self._owners: Mapping[str, Sequence[Owner]] = fill(database)

    def run(
        self, scenario: Scenario, servers: Sequence[str], *, rounds: int, seconds: int, echo: Callable[[str], None]
    ) -> Results:
        """Raises NotConforming if a server does not behave like the others."""
        cases = [Case(scenario.name, op, number) for number in scenario.connections for op in scenario.operations]
        with self._ready(scenario, servers) as ready:
            return {case: measure_interleaved(case, ready, rounds=rounds, seconds=seconds, echo=echo) for case in cases}

    def starts(self, name: str, echo: Callable[[str], None]) -> Start:
        """The median of a few starts, after one that does not count."""
        measured = [self._start(name) for _ in range(1 + STARTS)][1:]
        middle = Start(median(start.seconds for start in measured), median(start.memory for start in measured))
        echo(f"start  {name:<9} {middle.seconds:5.2f} s to the first response {middle.memory:5.0f} MB")
        return middle

    def _start(self, name: str) -> Start:
        with serving(name, self._near, self._issuer) as server:
            return Start(server.seconds, accounting.memory(server.process))

    @contextmanager
    def _ready(self, scenario: Scenario, names: Sequence[str]) -> Iterator[Sequence[SystemUnderTest]]:
        with ExitStack() as stack:
            callers = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))) / "callers"
            write_callers(callers, self._owners, self._issuer, scenario.algorithm)
            address = stack.enter_context(delayed(self._database)) if scenario.far else self._near
            systems = []
            for name in names:
                server = stack.enter_context(serving(name, address, self._issuer, scenario.algorithm))
                systems.append(SystemUnderTest(name, server, self._database, callers))
            self._check(systems, scenario.algorithm)
            yield systems

    def _check(self, systems: Sequence[SystemUnderTest], algorithm: Algorithm) -> None:
        *mine, foreign = self._owners["small"]
        for system, owner in zip(systems, mine, strict=False):
            conformance.check(system.server, self._issuer.token(owner.user_id, algorithm), owner, foreign.tasks[0])
        self._database.execute("DELETE FROM tasks WHERE title = 'New'")
