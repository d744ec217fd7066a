"""The results of all faults as a Markdown table."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

FAULTS, ATTACKS = "measured", "attacked"
"""What stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->` in the document is replaced."""

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
    "requests/s",
)
ATTACK_HEAD = (
    "attack",
    "MiB before, peak, after",
    "descriptors before, peak, after",
    "honest requests",
    "failed",
    "p99 before",
    "p99",
    "slowest",
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


@dataclass(frozen=True)
class AttackRow:
    attack: str
    memory: str
    descriptors: str
    requests: int
    failed: int
    undisturbed: str
    attacked: str
    slowest: str


def table(rows: Sequence[Row | AttackRow], head: Sequence[str] = HEAD) -> list[str]:
    """A Markdown table with aligned columns."""
    cells = [head, *([str(cell) for cell in astuple(row)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def write(lines: Sequence[str], document: Path, name: str) -> None:
    """Replaces the text between the two markers of this name in the document."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = document.read_text().partition(begin)
    after = rest.partition(end)[2]
    document.write_text("\n".join([f"{before}{begin}\n", *lines, f"\n{end}{after}"]))
