"""Log output through a pipe whose reader stops reading, or is gone; and many lines of one kind."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest

from entrypoints.observability.log_writer import MAX_REPEATS, MAX_WAITING, LogWriter, Repeats
from tests.cli.conftest import TIMEOUT, wait_until

LINE = "x" * 99 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with suppress(OSError):
            os.close(descriptor)


def test_lines_are_written_in_order(pipe: tuple[int, int]) -> None:
    writer = LogWriter(pipe[1], lambda _: None)
    for number in range(100):
        writer.write(f"{number}\n")
    writer.drain(TIMEOUT)
    assert os.read(pipe[0], 65536).decode().split() == [str(number) for number in range(100)]


def test_a_reader_that_stops_reading_blocks_nobody_and_dropped_lines_are_counted(pipe: tuple[int, int]) -> None:
    reported: list[Counter[str]] = []
    writer = LogWriter(pipe[1], reported.append)
    lines = fcntl.fcntl(pipe[0], fcntl.F_GETPIPE_SZ) // len(LINE) + 2 * MAX_WAITING if sys.platform == "linux" else 9999
    for _ in range(lines):
        writer.write(LINE)
    writer.drain(0.05)
    assert reported == []
    os.set_blocking(pipe[0], False)
    said = b""

    def read_on() -> bool:
        nonlocal said
        with suppress(BlockingIOError):
            said += os.read(pipe[0], 65536)
        return bool(reported)

    wait_until(read_on)
    writer.drain(TIMEOUT)
    wait_until(lambda: not writer._lines)
    read_on()
    assert said.count(b"\n") + reported[0]["dropped"] == lines
    assert len(said) % len(LINE) == 0


def test_without_a_reader_lines_are_counted_and_nothing_fails(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    reported: list[Counter[str]] = []
    writer = LogWriter(pipe[1], reported.append)
    for _ in range(10):
        writer.write(LINE)
    wait_until(lambda: reported)
    assert sum(counts["dropped"] for counts in reported) + writer._missing["dropped"] == 10


def test_so_many_lines_of_one_kind_are_written_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    repeats = Repeats()
    assert [repeats.is_too_many("a") for _ in range(MAX_REPEATS + 2)] == [False] * MAX_REPEATS + [True] * 2
    assert not repeats.is_too_many("b")
    now = 101.0
    assert not repeats.is_too_many("a")


PROGRAM = """
import logging
import structlog
from entrypoints.observability import logs

logs.configure(form="json")
log = structlog.get_logger()
for _ in range(500):
    log.info("request", status=200)
    log.info("request", status=401, code="missing_token")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
"""


def test_repeated_lines_are_counted_in_one_line_and_those_of_successful_requests_are_all_written() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=TIMEOUT, check=True)
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    assert sum(line["event"] == "request" and line["status"] == 200 for line in lines) == 500
    for kind, key in (("request: missing_token", ("request", 401)), ("Invalid HTTP request received.", None)):
        written = [line for line in lines if (line["event"], line.get("status")) == (key or (kind, None))]
        counted = sum(line["lines"] for line in lines if line.get("kind") == kind)
        assert len(written) < 500  # 100 a second
        assert len(written) + counted == 500
