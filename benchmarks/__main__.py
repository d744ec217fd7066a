"""`make bench`. Everything that is started here is stopped here, also after Ctrl+C."""

import signal
import sys
from dataclasses import replace
from typing import Annotated

import typer

from benchmarks import report
from benchmarks.data import databases
from benchmarks.load import OPERATIONS
from benchmarks.measure import HEAD, Results
from benchmarks.scenarios import SCENARIOS, Bench
from benchmarks.servers import COMMANDS
from benchmarks.tokens import issuing

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
CONNECTIONS = tuple(dict.fromkeys(str(number) for scenario in SCENARIOS for number in scenario.connections))
TABLES = (*(scenario.name for scenario in SCENARIOS), "start")


def _names(text: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    chosen = tuple(word.strip() for word in text.split(",")) if text else allowed
    for word in chosen:
        if word not in allowed:
            raise typer.BadParameter(f"{word} is not one of {', '.join(allowed)}")
    return chosen


@app.command()
def run(
    only: Annotated[str, typer.Option(help=f"Operations: {','.join(OPERATIONS)}")] = "",
    servers: Annotated[str, typer.Option(help=f"Servers: {','.join(COMMANDS)}")] = "",
    connections: Annotated[str, typer.Option(help=f"Connections: {','.join(CONNECTIONS)}")] = "",
    scenarios: Annotated[str, typer.Option(help=f"Scenarios: {','.join(TABLES)}")] = "",
    seconds: Annotated[int, typer.Option(help="Duration of each measurement.", min=1)] = 3,
    rounds: Annotated[int, typer.Option(help="Rounds; the median counts.", min=1)] = 3,
) -> None:
    """Measure all servers side by side. A complete run rewrites docs/explanation/performance.md and its chart."""
    complete = not any((only, servers, connections, scenarios))
    names, tables = _names(servers, tuple(COMMANDS)), _names(scenarios, TABLES)
    chosen = [
        replace(
            scenario,
            operations=[operation for operation in scenario.operations if operation in _names(only, OPERATIONS)],
            connections=[number for number in scenario.connections if str(number) in _names(connections, CONNECTIONS)],
        )
        for scenario in SCENARIOS
        if scenario.name in tables
    ]
    results: Results = {}
    typer.echo(HEAD)
    with issuing() as issuer, databases("bench") as [database]:
        bench = Bench(database, issuer)
        for scenario in chosen:
            if scenario.operations and scenario.connections:
                results |= bench.run(scenario, names, rounds=rounds, seconds=seconds, echo=typer.echo)
        starts = {name: bench.starts(name, typer.echo) for name in names if "start" in tables}
    typer.echo("\n" + report.targets(results, starts))
    if complete:
        report.write(results, starts, rounds, seconds)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # closes contexts, unlike the default
    app()


if __name__ == "__main__":
    main()
