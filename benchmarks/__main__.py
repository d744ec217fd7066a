"""`make bench`. Everything that is started here is stopped here, also after Ctrl+C."""

import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from benchmarks import report
from benchmarks.data import FOLDER, databases
from benchmarks.load import OPERATIONS
from benchmarks.measure import HEAD, Results
from benchmarks.scenarios import SCENARIOS, Bench
from benchmarks.servers import SERVERS, on_another_python
from benchmarks.targets import verdicts
from benchmarks.tokens import issuing

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
NAMES = [server.name for server in SERVERS]
CONNECTIONS = [*dict.fromkeys(str(number) for scenario in SCENARIOS for number in scenario.peers)]
TABLES = [*(scenario.name for scenario in SCENARIOS), "start"]
MEASUREMENTS = FOLDER.with_name("measurements.jsonl")


def _names(text: str, allowed: Sequence[str]) -> Sequence[str]:
    chosen = [word.strip() for word in text.split(",")] if text else allowed
    for word in chosen:
        if word not in allowed:
            raise typer.BadParameter(f"{word} is not one of {', '.join(allowed)}")
    return chosen


@app.command()
def run(
    only: Annotated[str, typer.Option(help=f"Operations: {','.join(OPERATIONS)}")] = "",
    servers: Annotated[str, typer.Option(help=f"Servers: {','.join(NAMES)}")] = "",
    connections: Annotated[str, typer.Option(help=f"Connections: {','.join(CONNECTIONS)}")] = "",
    scenarios: Annotated[str, typer.Option(help=f"Scenarios: {','.join(TABLES)}")] = "",
    seconds: Annotated[int, typer.Option(help="Duration of each measurement.", min=1)] = 3,
    rounds: Annotated[int, typer.Option(help="Rounds; the median counts.", min=1)] = 3,
    python: Annotated[str, typer.Option(help="Another interpreter with our dependencies, to measure as well.")] = "",
    report_only: Annotated[bool, typer.Option("--report-only", help="Exit 0 even if a target is missed.")] = False,
) -> None:
    """Measure all servers side by side. A complete run rewrites docs/explanation/performance.md and its chart.

    Exits 1 if a target is missed, or a server cannot be compared.
    """
    complete = not any((only, servers, connections, scenarios, python))
    named, tables = _names(servers, NAMES), _names(scenarios, TABLES)
    chosen = [server for server in SERVERS if server.name in named]
    chosen += [on_another_python(python)] if python else []
    operations, numbers = _names(only, OPERATIONS), _names(connections, CONNECTIONS)
    results: Results = {}
    MEASUREMENTS.parent.mkdir(exist_ok=True)
    MEASUREMENTS.write_text("")
    typer.echo(HEAD)
    with issuing() as issuer, databases("bench") as [database]:
        bench = Bench(database, issuer, MEASUREMENTS, typer.echo)
        for scenario in SCENARIOS:
            cases = [
                case for case in scenario.cases() if case.operation in operations and str(case.connections) in numbers
            ]
            if cases and scenario.name in tables:
                results |= bench.run(scenario, cases, chosen, rounds=rounds, seconds=seconds)
        starts = bench.starts(chosen) if "start" in tables else {}
    judged = verdicts(results, starts)
    faults = [*bench.faults, *report.failures(results)]
    outcome = report.outcome(judged, faults)
    for text in filter(None, (report.summary(results), report.targets(judged), *faults, outcome)):
        typer.echo("\n" + text)
    if complete:
        report.write(results, starts, judged, outcome, rounds=rounds, seconds=seconds)
    if not report_only and (faults or not all(verdict.reached for verdict in judged)):
        raise typer.Exit(1)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # closes contexts, unlike the default
    app()


if __name__ == "__main__":
    main()
