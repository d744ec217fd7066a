"""Tests of the measuring instruments, run before each `make bench` on the same machine."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import accounting, chart, report
from benchmarks.load import OPERATIONS
from benchmarks.measure import Case, Measurement, Results
from benchmarks.scenarios import SCENARIOS
from benchmarks.servers import COMMANDS
from benchmarks.targets import TARGETS, Target

BURN = "import time\nwhile time.process_time() < 0.3: pass"
GET = Case("near", "get", 32)


def measured(*, server: float = 100, database: float = 50, failed: int = 0, p99: float = 1) -> Measurement:
    return Measurement(server, database, throughput=1000, p50=0.5, p99=p99, memory=50, failed=failed)


def all_cases(**by_server: Measurement) -> Results:
    return {
        Case(scenario.name, operation, connections): by_server
        for scenario in SCENARIOS
        for operation in scenario.operations
        for connections in scenario.connections
    }


def test_cpu_time_includes_running_and_exited_children() -> None:
    before = accounting.cpu(os.getpid())
    subprocess.run([sys.executable, "-c", BURN], check=True)
    after_one = accounting.cpu(os.getpid())
    with subprocess.Popen([sys.executable, "-c", BURN + "\nprint(flush=True); input()"], stdin=-1, stdout=-1) as child:
        assert child.stdout
        child.stdout.readline()
        while_running = accounting.cpu(os.getpid())
        child.communicate(b"\n")
    assert after_one - before > 0.25
    assert while_running - after_one > 0.25


def test_memory_and_its_peak_are_in_mebibytes() -> None:
    before, process = accounting.memory(os.getpid()), os.getpid()
    taken = bytearray(b"x" * 2**26)
    assert 60 < accounting.memory(process) - before < 140
    assert accounting.peak(process) - before > 60
    del taken


def test_a_round_trip_through_the_delay_takes_five_milliseconds(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as database:
        database.bind(str(tmp_path / "database"))
        database.listen()
        command = [sys.executable, "-m", "benchmarks.delay", str(tmp_path / "database")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as delay:
            assert delay.stdout
            port = int(delay.stdout.readline())
            with socket.create_connection(("127.0.0.1", port)) as client, database.accept()[0] as end:
                taken = [_round_trip(client, end) for _ in range(20)]
            delay.kill()
    assert 0.005 <= min(taken) < 0.008


def _round_trip(client: socket.socket, end: socket.socket) -> float:
    started = time.perf_counter()
    client.sendall(b"query")
    assert end.recv(100) == b"query"
    end.sendall(b"result")
    assert client.recv(100) == b"result"
    return time.perf_counter() - started


def test_every_target_refers_to_a_measured_case_and_server() -> None:
    cases = all_cases().keys()
    for target in TARGETS:
        assert target.case in cases, target
        assert target.peer in COMMANDS, target


@pytest.mark.parametrize(("ours", "reached"), [(140, True), (160, False)])
def test_a_target_compares_our_total_with_the_peer_s(ours: float, reached: bool) -> None:
    results = {GET: {"ours": measured(server=ours, database=20), "fastify": measured()}}
    target = Target(GET, "fastify", "CPU", 1.1)
    assert target.ratio(results) == pytest.approx((ours + 20) / 150)
    assert target.reached(results) is reached


def test_a_server_that_fails_requests_reaches_no_target() -> None:
    results = {GET: {"ours": measured(server=1, failed=1), "fastify": measured()}}
    assert not Target(GET, "fastify", "CPU", 1.1).reached(results)
    assert "1 failed" in report.one_table(results, "near", 32)


def test_the_chart_has_a_bar_for_each_server_and_operation_inside_its_frame() -> None:
    drawn = ElementTree.fromstring(chart.draw(all_cases(ours=measured(), tutorial=measured(server=90_000))))
    bars = [bar for bar in drawn.iter() if bar.get("height") == str(chart.BAR) and bar.get("class") == "server"]
    assert len(bars) == 2 * len(OPERATIONS) + 1, "one for the legend"
    for bar in bars:
        assert float(str(bar.get("x"))) + float(str(bar.get("width"))) <= chart.WIDTH
