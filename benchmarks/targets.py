"""Performance targets: ratios of measurements of one run, and limits of ours alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.load import OPERATIONS
from benchmarks.measure import Case, Measurement, Results
from benchmarks.scenarios import FASTIFY, Start

FIGURES: dict[str, Callable[[Measurement], float]] = {
    "CPU": lambda measured: measured.total,
    "database CPU": lambda measured: measured.database,
    "p99": lambda measured: measured.p99,
    "requests/s": lambda measured: measured.throughput,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target beside what was measured. `against` is the peer whose figure counted, if there is one."""

    measurement: str
    connections: str
    figure: str
    against: str
    limit: str
    measured: float
    reached: bool


@dataclass(frozen=True, slots=True)
class Target:
    """A limit for the ratio of our figure to that of the best of some peers."""

    case: Case
    peers: Sequence[str]
    figure: str
    limit: float
    at_least: bool = False  # the more the better; otherwise the less

    def verdict(self, results: Results) -> Verdict | None:
        """None if ours or all of the peers were not measured. Failed requests of ours miss the target."""
        measured, figure = results.get(self.case, {}), FIGURES[self.figure]
        peers = {name: figure(measured[name]) for name in self.peers if name in measured and not measured[name].failed}
        if "ours" not in measured or not peers:
            return None
        best = (max if self.at_least else min)(peers, key=peers.__getitem__)
        ratio = figure(measured["ours"]) / max(peers[best], 1e-9)
        within = ratio >= self.limit if self.at_least else ratio <= self.limit
        return Verdict(
            self.case.label,
            str(self.case.connections),
            self.figure,
            best,
            f"{'≥' if self.at_least else '≤'} {self.limit}",
            ratio,
            reached=within and not measured["ours"].failed,
        )


SLOWEST_START = 1.5  # seconds from the start of `todo serve` to its first response, with warm caches
MOST_MEMORY = 120  # MB resident in a worker, in every case

_CPU_AT_1 = {"get": 1.3, "create": 1.3, "put": 1.3, "complete": 1.3}
_CPU_AT_32 = {
    "get": 1.0,
    "list-20": 0.85,
    "list-100": 0.65,
    "create": 0.85,
    "put": 0.95,
    "complete": 0.95,
    "mix": 0.9,
}


def _against_fastify() -> Iterator[Target]:
    for operation, limit in _CPU_AT_32.items():
        yield Target(Case("near", operation, 32), FASTIFY, "CPU", limit)
    for operation in ("get", "create"):
        yield Target(Case("near", operation, 32), FASTIFY, "database CPU", 0.3)
    for operation in OPERATIONS:
        yield Target(Case("near", operation, 32), FASTIFY, "p99", 1.0)
    for operation, limit in _CPU_AT_1.items():
        yield Target(Case("near", operation, 1), FASTIFY, "CPU", limit)
    for operation in OPERATIONS:
        yield Target(Case("near", operation, 256), FASTIFY, "CPU", 0.85)
    for connections, limit in ((32, 1.0), (256, 2.0)):
        for operation in ("get", "create"):
            yield Target(Case("far", operation, connections), FASTIFY, "requests/s", limit, at_least=True)
    for operation, limit in _CPU_AT_32.items():
        yield Target(Case("logged", operation, 32), FASTIFY, "CPU", limit)


def _against_the_others() -> Iterator[Target]:
    for peer, limit in (("tutorial", 0.15), ("litestar", 0.7)):
        for operation in OPERATIONS:
            yield Target(Case("near", operation, 32), (peer,), "CPU", limit)


TARGETS = (*_against_fastify(), *_against_the_others())


def verdicts(results: Results, starts: Mapping[str, Start]) -> list[Verdict]:
    """Of all targets that were measured."""
    found = [target.verdict(results) for target in TARGETS]
    return [verdict for verdict in (*found, _memory(results), _start(starts)) if verdict]


def _memory(results: Results) -> Verdict | None:
    used = [by_server["ours"].memory for by_server in results.values() if "ours" in by_server]
    if not used:
        return None
    most = max(used)
    return Verdict("every case", "", "MB", "", f"≤ {MOST_MEMORY}", most, most <= MOST_MEMORY)


def _start(starts: Mapping[str, Start]) -> Verdict | None:
    if "ours" not in starts:
        return None
    seconds = starts["ours"].seconds
    return Verdict("start", "", "seconds", "", f"≤ {SLOWEST_START}", seconds, seconds <= SLOWEST_START)
