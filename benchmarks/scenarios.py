"""What is asked of all servers, and under which conditions."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import accounting, equal
from benchmarks.data import Database, Owner, fill
from benchmarks.load import OPERATIONS, write_callers
from benchmarks.measure import Case, Contestant, Results, in_turn
from benchmarks.servers import Position, delayed, serving
from benchmarks.tokens import Algorithm, Issuer

STARTS = 3


@dataclass(frozen=True, slots=True)
class Scenario:
    """Conditions that hold for some tables of measurements."""

    name: str
    title: str
    operations: Sequence[str]
    connections: Sequence[int]
    algorithm: Algorithm = "HS256"
    far: bool = False  # from the database


SCENARIOS = (
    Scenario("near", "HS256 tokens, the database on the same machine", OPERATIONS, (32, 1, 256)),
    Scenario("eddsa", "EdDSA tokens, the database on the same machine", ("get",), (32,), algorithm="EdDSA"),
    Scenario("far", "HS256 tokens, the database 5 ms away (there and back)", ("get", "create"), (32, 256), far=True),
)


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the start of the process to its first answer, and MiB that it has resident then."""

    seconds: float
    memory: float


class Bench:
    """One database, filled once, and everything that is asked of it."""

    def __init__(self, database: Database, issuer: Issuer) -> None:
        self._database, self._issuer = database, issuer
        self._near = Position(database.name, database.socket)
        self._owners: Mapping[str, Sequence[Owner]] = fill(database)

    def run(
        self, scenario: Scenario, servers: Sequence[str], *, rounds: int, seconds: int, say: Callable[[str], None]
    ) -> Results:
        """Raises Different where a server does not do what the others do."""
        cases = [Case(scenario.name, op, number) for number in scenario.connections for op in scenario.operations]
        with self._ready(scenario, servers) as ready:
            return {case: in_turn(case, ready, rounds=rounds, seconds=seconds, say=say) for case in cases}

    def starts(self, name: str, say: Callable[[str], None]) -> Start:
        """The median of a few, after one that does not count."""
        taken = [self._start(name) for _ in range(1 + STARTS)][1:]
        middle = Start(median(each.seconds for each in taken), median(each.memory for each in taken))
        say(f"start  {name:<9} {middle.seconds:5.2f} s to the first answer {middle.memory:5.0f} MB")
        return middle

    def _start(self, name: str) -> Start:
        with serving(name, self._near, self._issuer) as server:
            return Start(server.seconds, accounting.memory(server.process))

    @contextmanager
    def _ready(self, scenario: Scenario, names: Sequence[str]) -> Iterator[Sequence[Contestant]]:
        with ExitStack() as stack:
            callers = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))) / "callers"
            write_callers(callers, self._owners, self._issuer, scenario.algorithm)
            place = stack.enter_context(delayed(self._database)) if scenario.far else self._near
            contestants = []
            for name in names:
                server = stack.enter_context(serving(name, place, self._issuer, scenario.algorithm))
                contestants.append(Contestant(name, server, self._database, callers))
            self._check(contestants, scenario.algorithm)
            yield contestants

    def _check(self, contestants: Sequence[Contestant], algorithm: Algorithm) -> None:
        *mine, foreign = self._owners["small"]
        for each, owner in zip(contestants, mine, strict=False):
            equal.check(each.server, self._issuer.token(owner.user_id, algorithm), owner, foreign.tasks[0])
        self._database.execute("DELETE FROM tasks WHERE title = 'New'")
