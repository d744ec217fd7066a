"""`make bench-growth`: the effect of a thousand times as many tasks, and of one very long list on other requests.

Three databases and servers run at once, so that their measurements can be interleaved.
"""

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import typer

from benchmarks import long_list, plans, report
from benchmarks.data import CALLERS, Database, Owner, databases
from benchmarks.load import write_callers
from benchmarks.measure import Case, Measurement, Results, SystemUnderTest, measure_interleaved
from benchmarks.servers import OURS, DatabaseAddress, serving
from benchmarks.tokens import Issuer, issuing

SIZES = {"10 k": 10_000, "1 M": 1_000_000, "10 M": 10_000_000}
OPERATIONS = ("get", "list-20", "create")
CONNECTIONS = 32
ROUNDS, SECONDS = 3, 3


def grow(database: Database, tasks: int) -> Mapping[str, Sequence[Owner]]:
    """Inserts owners of 20 tasks each. The primary key is created afterwards, as when restoring a backup."""
    owners = tasks // 20
    database.execute("ALTER TABLE tasks DROP CONSTRAINT tasks_pkey")
    database.insert(f"'small-' || (n - 1) % {owners}", tasks)
    database.execute("SET maintenance_work_mem = '1GB'; ALTER TABLE tasks ADD PRIMARY KEY (user_id, id)")
    database.settle()
    step = owners // CALLERS
    numbers = range(0, CALLERS * step, step)
    return {
        "small": [Owner(f"small-{number}", range(number + 1, tasks + 1, owners)) for number in numbers],
        "writer": [Owner(f"writer-{number}", ()) for number in range(CALLERS)],
    }


@contextmanager
def _systems(
    created: Sequence[Database], owners: Sequence[Mapping[str, Sequence[Owner]]], issuer: Issuer
) -> Iterator[Sequence[SystemUnderTest]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        systems = []
        for name, database, members in zip(SIZES, created, owners, strict=True):
            callers = folder / database.name
            write_callers(callers, members, issuer, "HS256")
            server = stack.enter_context(serving(OURS, DatabaseAddress(database.name, database.socket), issuer))
            systems.append(SystemUnderTest(name, server, database, callers))
        yield systems


def main() -> None:
    """Measures, prints, and rewrites its block of docs/explanation/performance.md."""
    with issuing() as issuer, databases(*(f"bench_{tasks}" for tasks in SIZES.values())) as created:
        owners = []
        for database, (name, tasks) in zip(created, SIZES.items(), strict=True):
            typer.echo(f"filling {name} ...")
            owners.append(grow(database, tasks))
        with _systems(created, owners, issuer) as systems:
            results: Results = {}
            for operation in OPERATIONS:
                case = Case("growth", operation, CONNECTIONS)
                results[case] = measure_interleaved(case, systems, rounds=ROUNDS, seconds=SECONDS, echo=typer.echo)
        used = plans.used(created[-1], owners[-1]["small"][0], issuer)
        long = long_list.measure(created[1], owners[1], issuer)
    text = "\n\n".join([_table(results), plans.text(used), long_list.text(long)])
    typer.echo(text)
    report.replace_block("growth", text)


def _table(results: Results) -> str:
    rows = [
        _figures(case.operation, size, measured, by_size["10 k"])
        for case, by_size in results.items()
        for size, measured in by_size.items()
    ]
    head = ["operation", "tasks", "server µs", "database µs", "total", "÷ 10 k", "requests/s", "p50 ms", "p99 ms"]
    return report.table(head, rows)


def _figures(operation: str, size: str, measured: Measurement, smallest: Measurement) -> list[str]:
    if measured.failed:
        return [operation, size, f"**{measured.failed:.0f} failed**", *[""] * 6]
    cost = [f"{figure:.0f}" for figure in (measured.server, measured.database, measured.total)]
    speed = [f"{measured.throughput:.0f}", f"{measured.p50:.2f}", f"{measured.p99:.2f}"]
    return [operation, size, *cost, f"{measured.total / smallest.total:.2f}", *speed]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # closes contexts, unlike the default
    main()
