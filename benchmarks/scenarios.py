"""Scenarios: the operations that all servers are measured with, and the conditions."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import accounting, conformance
from benchmarks.conformance import NotConforming
from benchmarks.data import Database, callers_of, fill
from benchmarks.load import OPERATIONS, LoadFailed, load, write_callers
from benchmarks.measure import Case, Results, SystemUnderTest, measure_interleaved, save
from benchmarks.servers import DatabaseAddress, Server, ServerFailed, delayed, serving
from benchmarks.tokens import Algorithm, Issuer

STARTS = 3
COMPILE_SECONDS = 5  # of load on a new process: V8 compiles hot code after some thousands of requests
FASTIFY = ("fastify", "fastify-cached")
PEERS = (*FASTIFY, "litestar", "tutorial")


@dataclass(frozen=True, slots=True)
class Scenario:
    """Operations, the peers by number of connections, and conditions of some measurements."""

    name: str
    title: str
    operations: Sequence[str]
    peers: Mapping[int, Sequence[str]]
    algorithm: Algorithm = "HS256"
    far: bool = False  # whether the database is 5 ms away
    logged: bool = False  # whether every request is logged

    def cases(self) -> Sequence[Case]:
        return [Case(self.name, operation, number) for number in self.peers for operation in self.operations]

    def includes(self, server: Server, case: Case) -> bool:
        """Ours is measured in every case."""
        return case.operation in server.operations and (server.is_ours or server.name in self.peers[case.connections])


SCENARIOS = (
    Scenario(
        "near",
        "HS256 tokens, the database on the same machine",
        OPERATIONS,
        {32: PEERS, 1: FASTIFY, 256: FASTIFY},
    ),
    Scenario("eddsa", "EdDSA tokens, the database on the same machine", ("get",), {32: PEERS}, algorithm="EdDSA"),
    Scenario(
        "far",
        "HS256 tokens, the database 5 ms away (there and back)",
        ("get", "create"),
        {32: FASTIFY, 256: FASTIFY},
        far=True,
    ),
    Scenario(
        "logged",
        "HS256 tokens, the database on the same machine, one log line per request",
        OPERATIONS,
        {32: PEERS},
        logged=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from process start to first response, and MiB resident then."""

    seconds: float
    memory: float


class Bench:
    """One database, filled once, and the measurements on it. `faults` says which servers could not be compared."""

    def __init__(self, database: Database, issuer: Issuer, file: Path, echo: Callable[[str], None]) -> None:
        """Measurements are saved to `file` as they are made, and printed with `echo`."""
        self.faults: list[str] = []
        self._database, self._issuer, self._file, self._echo = database, issuer, file, echo
        self._near = DatabaseAddress(database.name, database.socket)
        fill(database)

    def run(
        self, scenario: Scenario, cases: Sequence[Case], servers: Sequence[Server], *, rounds: int, seconds: int
    ) -> Results:
        """Leaves out peers that do not start, or behave differently. Raises what is wrong with ours."""
        results: Results = {}
        taking_part = [server for server in servers if any(scenario.includes(server, case) for case in cases)]
        with self._ready(scenario, taking_part) as ready:
            for case in cases:
                systems = [system for server, system in ready if scenario.includes(server, case)]
                results[case] = measure_interleaved(case, systems, rounds=rounds, seconds=seconds, echo=self._echo)
                save(self._file, case, results[case])
        return results

    def starts(self, servers: Sequence[Server]) -> dict[str, Start]:
        """The medians of a few starts, after one that does not count. Leaves out peers that do not start."""
        starts = {}
        for server in servers:
            with self._leaving_out("start", server):
                measured = [self._start(server) for _ in range(1 + STARTS)][1:]
                start = Start(median(each.seconds for each in measured), median(each.memory for each in measured))
                self._echo(
                    f"start  {server.name:<14} {start.seconds:5.2f} s to the first response {start.memory:5.0f} MB"
                )
                starts[server.name] = start
        return starts

    def _start(self, server: Server) -> Start:
        with serving(server, self._near, self._issuer) as process:
            return Start(process.seconds, accounting.memory(process.process))

    @contextmanager
    def _ready(
        self, scenario: Scenario, servers: Sequence[Server]
    ) -> Iterator[Sequence[tuple[Server, SystemUnderTest]]]:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            address = stack.enter_context(delayed(self._database)) if scenario.far else self._near
            ready = []
            for number, server in enumerate(servers):
                owners, callers = callers_of(number), folder / server.name
                write_callers(callers, owners, self._issuer, scenario.algorithm)
                owner, *_, foreign = owners["small"]
                with self._leaving_out(scenario.name, server):
                    process = stack.enter_context(
                        serving(server, address, self._issuer, scenario.algorithm, logged=scenario.logged)
                    )
                    token = self._issuer.token(owner.user_id, scenario.algorithm)
                    conformance.check(process, token, owner, foreign.tasks[0], logged=scenario.logged)
                    load(process.url, "mix", callers, connections=32, seconds=COMPILE_SECONDS)
                    system = SystemUnderTest(server.name, process, self._database, callers, scenario.logged)
                    ready.append((server, system))
            self._database.execute("DELETE FROM tasks WHERE title = 'New'")
            yield ready

    @contextmanager
    def _leaving_out(self, where: str, server: Server) -> Iterator[None]:
        try:
            yield
        except (NotConforming, ServerFailed, LoadFailed) as fault:
            if server.is_ours:
                raise
            self.faults.append(f"{where}: {fault}")
            self._echo(self.faults[-1])
