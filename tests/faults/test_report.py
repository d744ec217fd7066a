"""The table of faults, and writing it into a document."""

from pathlib import Path

from tests.faults.report import FAULTS, Row, table, write

ROW = Row("none", 1, 700, 0, "0.08 s", "", "no error", "held")


def test_a_table_has_a_line_for_each_row_and_aligned_columns() -> None:
    lines = table([ROW, ROW])
    assert len(lines) == 4
    assert {len(line) for line in lines} == {len(lines[0])}
    assert lines[2].startswith("| none  | 1        | 700      |")


def test_a_table_replaces_the_previous_one_and_nothing_else(tmp_path: Path) -> None:
    document = tmp_path / "reliability.md"
    begin, end = "<!-- measured: begin -->", "<!-- measured: end -->"
    document.write_text(f"# Before\n\n{begin}\nold\n{end}\n\nAfter\n")
    write(table([ROW]), document, FAULTS)
    write(table([ROW]), document, FAULTS)
    text = document.read_text()
    assert text == "\n".join(["# Before\n", f"{begin}\n", *table([ROW]), f"\n{end}\n", "After\n"])
