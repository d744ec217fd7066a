"""Reports the measurements: in the terminal, and in docs/explanation/performance.md between two markers."""

import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import chart
from benchmarks.measure import Case, Measurement, Results
from benchmarks.scenarios import SCENARIOS, Start
from benchmarks.servers import SERVERS
from benchmarks.targets import Verdict

_DOCS = Path(__file__).parents[1] / "docs/explanation"
_PEERS = Path(__file__).with_name("peers")
SUMMARIZED = 32  # connections


def summary(results: Results) -> str:
    """A table of CPU and throughput at 32 connections, by operation and server; empty if nothing was measured there."""
    cases = {case: by_server for case, by_server in results.items() if case.connections == SUMMARIZED}
    servers = [*dict.fromkeys(name for by_server in cases.values() for name in by_server)]
    rows = [
        [case.label, *(_cost_and_speed(by_server.get(name)) for name in servers)] for case, by_server in cases.items()
    ]
    return table(["CPU µs, requests/s", *servers], rows) if rows else ""


def _cost_and_speed(measured: Measurement | None) -> str:
    if measured is None:
        return ""
    return "**failed**" if measured.failed else f"{measured.total:.0f}, {measured.throughput:.0f}"


def targets(judged: Sequence[Verdict]) -> str:
    """A table; empty if no target was measured."""
    head = ["measurement", "connections", "figure", "against", "target", "measured", ""]
    return table(head, [_target(verdict) for verdict in judged]) if judged else ""


def _target(verdict: Verdict) -> list[str]:
    what = [verdict.measurement, verdict.connections, verdict.figure, verdict.against, verdict.limit]
    return [*what, f"{verdict.measured:.2f}", "reached" if verdict.reached else "**missed**"]


def failures(results: Results) -> list[str]:
    """A line for each measurement in which requests failed."""
    return [
        f"{case.scenario}: {name} failed {measured.failed:.0f} of {case.operation} at {_connections(case.connections)}"
        for case, by_server in results.items()
        for name, measured in by_server.items()
        if measured.failed
    ]


def outcome(judged: Sequence[Verdict], faults: Sequence[str]) -> str:
    """One line: how many targets were missed, and whether all servers could be compared."""
    missed = sum(not verdict.reached for verdict in judged)
    line = f"{missed} of {len(judged)} targets missed" if missed else f"All {len(judged)} targets reached"
    return line + (f"; failures of servers: {len(faults)}." if faults else ".")


def write(
    results: Results,
    starts: Mapping[str, Start],
    judged: Sequence[Verdict],
    outcome: str,
    *,
    rounds: int,
    seconds: int,
) -> None:
    """Writes the results into the document, and draws the chart."""
    (_DOCS / "performance.svg").write_text(chart.draw(results))
    parts = [
        f"Measurement on {_today()}: {_machine()}; {_versions()}. Medians of {rounds} rounds of {seconds} s.",
        "![CPU for each request, by server, at 32 connections](performance.svg)",
        f"### Summary, {_connections(SUMMARIZED)}\n\n" + summary(results),
        f"### Targets\n\n{outcome}\n\n" + targets(judged),
        *(_tables(results)),
        "### From process start to first response\n\n" + _starts(starts),
    ]
    replace_block("bench", "\n\n".join(parts))


def replace_block(name: str, text: str) -> None:
    """Replaces the generated block of this name in the document."""
    document = _DOCS / "performance.md"
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = document.read_text().partition(begin)
    document.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    rule = ["-" * max(widths[0], 3), *("-" * max(width - 1, 2) + ":" for width in widths[1:])]
    return "\n".join(_row(cells, widths) for cells in (head, rule, *rows))


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join([cells[0].ljust(widths[0]), *others])} |"


def _tables(results: Results) -> list[str]:
    return [
        f"### {scenario.title}, {_connections(number)}\n\n" + one_table(results, scenario.name, number)
        for scenario in SCENARIOS
        for number in scenario.peers
    ]


def _connections(number: int) -> str:
    return f"{number} connection{'s' if number > 1 else ''}"


def one_table(results: Results, scenario: str, connections: int) -> str:
    head = ["operation", "server", "server µs", "database µs", "total", "ours ÷ it"]
    head += ["requests/s", "p50 ms", "p99 ms", "MB"]
    rows = [
        _figures(case, name, measured, by_server.get("ours"))
        for case, by_server in results.items()
        if (case.scenario, case.connections) == (scenario, connections)
        for name, measured in by_server.items()
    ]
    return table(head, rows)


def _figures(case: Case, name: str, measured: Measurement, ours: Measurement | None) -> list[str]:
    if measured.failed:
        return [case.operation, name, f"**{measured.failed:.0f} failed**", *[""] * 7]
    ratio = "" if name == "ours" or ours is None else f"{ours.total / measured.total:.2f}"
    cost = [f"{measured.server:.0f}", f"{measured.database:.0f}", f"{measured.total:.0f}", ratio]
    speed = [f"{measured.throughput:.0f}", f"{measured.p50:.2f}", f"{measured.p99:.2f}"]
    return [case.operation, name, *cost, *speed, f"{measured.memory:.0f}"]


def _starts(starts: Mapping[str, Start]) -> str:
    described = {server.name: server.description for server in SERVERS}
    rows = [[described[name], f"{start.seconds:.2f}", f"{start.memory:.0f}"] for name, start in starts.items()]
    return table(["server", "seconds", "MB resident"], rows)


def _today() -> date:
    return datetime.now(UTC).date()


def _machine() -> str:
    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.findall(r"MemTotal: *(\d+)", Path("/proc/meminfo").read_text())[0]) / 2**20
    return f"{len(models)} cores ({models[0]}), {memory:.0f} GiB, {platform.system()} {platform.release()}"


def _versions() -> str:
    pinned = (_PEERS / "python/requirements.txt").read_text() + (_PEERS / "fastify/package.json").read_text()
    named = {"fastapi": "FastAPI", "litestar": "Litestar", "fastify": "Fastify"}
    found = {label: re.findall(rf'"?\b{name}"?(?:==|: ")([\d.]+)', pinned)[0] for name, label in named.items()}
    ours = {"Python": platform.python_version(), "our FastAPI": version("fastapi")}
    return ", ".join(f"{label} {number}" for label, number in (ours | found).items())
