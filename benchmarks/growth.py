"""`make bench-growth`: what a thousand times as many tasks change, and what one very long list does to everybody else.

Three databases at once, each with a server of ours, so that their measurements can take turns.
"""

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import typer

from benchmarks import longlist, plans, report
from benchmarks.data import CALLERS, Database, Owner, databases
from benchmarks.load import write_callers
from benchmarks.measure import Case, Contestant, Measured, Results, in_turn
from benchmarks.servers import Position, serving
from benchmarks.tokens import Issuer, issuing

SIZES = {"10 k": 10_000, "1 M": 1_000_000, "10 M": 10_000_000}
OPERATIONS = ("get", "list-20", "create")
CONNECTIONS = 32
ROUNDS, SECONDS = 3, 3


def grow(database: Database, tasks: int) -> Mapping[str, Sequence[Owner]]:
    """Owners of 20 tasks each, spread over the whole table. The key is made afterwards, as a restored backup has it."""
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
def _contestants(
    made: Sequence[Database], owners: Sequence[Mapping[str, Sequence[Owner]]], issuer: Issuer
) -> Iterator[Sequence[Contestant]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        contestants = []
        for name, database, those in zip(SIZES, made, owners, strict=True):
            callers = folder / database.name
            write_callers(callers, those, issuer, "HS256")
            server = stack.enter_context(serving("ours", Position(database.name, database.socket), issuer))
            contestants.append(Contestant(name, server, database, callers))
        yield contestants


def main() -> None:
    """Measures, prints, and renews its part of docs/explanation/performance.md."""
    with issuing() as issuer, databases(*(f"bench_{tasks}" for tasks in SIZES.values())) as made:
        owners = []
        for database, (name, tasks) in zip(made, SIZES.items(), strict=True):
            typer.echo(f"filling {name} ...")
            owners.append(grow(database, tasks))
        with _contestants(made, owners, issuer) as contestants:
            results: Results = {}
            for operation in OPERATIONS:
                case = Case("growth", operation, CONNECTIONS)
                results[case] = in_turn(case, contestants, rounds=ROUNDS, seconds=SECONDS, say=typer.echo)
        used = plans.used(made[-1], owners[-1]["small"][0], issuer)
        long = longlist.measure(made[1], owners[1], issuer)
    text = "\n\n".join([_table(results), plans.text(used), longlist.text(long)])
    typer.echo(text)
    report.replace_between_marks("growth", text)


def _table(results: Results) -> str:
    rows = [
        _figures(case.operation, size, measured, by_size["10 k"])
        for case, by_size in results.items()
        for size, measured in by_size.items()
    ]
    head = ["operation", "tasks", "server µs", "database µs", "total", "÷ 10 k", "requests/s", "p50 ms", "p99 ms"]
    return report.table(head, rows)


def _figures(operation: str, size: str, measured: Measured, smallest: Measured) -> list[str]:
    if measured.failed:
        return [operation, size, f"**{measured.failed:.0f} unanswered**", *[""] * 6]
    cost = [f"{figure:.0f}" for figure in (measured.server, measured.database, measured.total)]
    speed = [f"{measured.throughput:.0f}", f"{measured.p50:.2f}", f"{measured.p99:.2f}"]
    return [operation, size, *cost, f"{measured.total / smallest.total:.2f}", *speed]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leaves contexts, unlike the default
    main()
