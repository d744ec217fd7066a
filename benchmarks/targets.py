"""Performance targets, as ratios of measurements of one run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.load import OPERATIONS
from benchmarks.measure import Case, Measurement, Results


@dataclass(frozen=True, slots=True)
class Target:
    """A limit for the ratio of our measurement to that of a peer."""

    case: Case
    peer: str
    figure: str
    limit: float
    at_least: bool = False

    def ratio(self, results: Results) -> float | None:
        """None if it was not measured."""
        found = results.get(self.case, {})
        if "ours" not in found or self.peer not in found:
            return None
        figure = FIGURES[self.figure]
        return figure(found["ours"]) / max(figure(found[self.peer]), 1e-9)

    def reached(self, results: Results) -> bool:
        """False if any of our requests failed."""
        ratio, ours = self.ratio(results), results[self.case]["ours"]
        assert ratio is not None
        return not ours.failed and (ratio >= self.limit if self.at_least else ratio <= self.limit)


FIGURES: dict[str, Callable[[Measurement], float]] = {
    "CPU": lambda measured: measured.total,
    "database CPU": lambda measured: measured.database,
    "p99": lambda measured: measured.p99,
    "requests/s": lambda measured: measured.throughput,
}

SLOWEST_START = 1.5  # seconds from the start of `todo serve` to its first response, with warm caches

_AGAINST_FASTIFY = {"get": 1.1, "list-100": 0.9, "create": 0.8, "put": 1.3, "complete": 1.3, "mix": 0.9}


def _targets() -> Iterator[Target]:
    def near(operation: str) -> Case:
        return Case("near", operation, 32)

    for operation, limit in _AGAINST_FASTIFY.items():
        yield Target(near(operation), "fastify", "CPU", limit)
    for operation in ("get", "create"):
        yield Target(near(operation), "fastify", "database CPU", 0.3)
    for operation in OPERATIONS:
        yield Target(near(operation), "fastify", "p99", 1.0)
    for operation in OPERATIONS:
        yield Target(near(operation), "tutorial", "CPU", 0.15)
    for operation in OPERATIONS:
        yield Target(near(operation), "litestar", "CPU", 0.7)
    for operation in ("get", "create"):
        for connections in (32, 256):
            yield Target(Case("far", operation, connections), "fastify", "requests/s", 1.0, at_least=True)


TARGETS = tuple(_targets())
