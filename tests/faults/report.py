"""The results of all faults as a Markdown table."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = (
    "fault",
    "contract",
    "requests",
    "failed",
    "slowest response",
    "back after",
    "must hold",
    "held",
    "p50",
    "p99",
    "a second",
)


@dataclass(frozen=True)
class Row:
    fault: str
    contract: int
    requests: int
    failed: int
    slowest: str
    back: str
    bound: str
    held: str
    p50: str = ""
    p99: str = ""
    rate: str = ""


def table(rows: Sequence[Row]) -> list[str]:
    """A Markdown table with aligned columns."""
    cells = [HEAD, *([str(cell) for cell in astuple(row)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def write(rows: Sequence[Row], document: Path) -> None:
    """Replaces the text between the two markers in the document."""
    before, _, rest = document.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    document.write_text("\n".join([f"{before}{BEGIN}\n", *table(rows), f"\n{END}{after}"]))
