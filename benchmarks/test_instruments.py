"""Tests of the measuring instruments, run before each `make bench` on the same machine."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import accounting, chart, report
from benchmarks.data import Database, Owner, databases
from benchmarks.load import OPERATIONS, write_callers
from benchmarks.measure import Case, Measurement, Results, SystemUnderTest, measure_interleaved, save
from benchmarks.scenarios import FASTIFY, SCENARIOS, Bench
from benchmarks.servers import OURS, SERVERS, DatabaseAddress, ServerFailed, environment, serving
from benchmarks.targets import MOST_MEMORY, TARGETS, Target, Verdict, verdicts
from benchmarks.tokens import Issuer

SERVER = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if os.path.exists("exit"):
            os.remove("exit")
            os._exit(1)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
BURN = "import time\nwhile time.process_time() < 0.3: pass"
GET = Case("near", "get", 32)


def measured(
    *, server: float = 100, database: float = 50, failed: int = 0, p99: float = 1, memory: float = 50
) -> Measurement:
    return Measurement(server, database, throughput=1000, p50=0.5, p99=p99, memory=memory, failed=failed)


def all_cases(**by_server: Measurement) -> Results:
    return {case: by_server for scenario in SCENARIOS for case in scenario.cases()}


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


def test_every_target_refers_to_a_measured_case_and_to_servers_that_are_measured_in_it() -> None:
    scenarios = {case: scenario for scenario in SCENARIOS for case in scenario.cases()}
    by_name = {server.name: server for server in SERVERS}
    for target in TARGETS:
        for name in ("ours", *target.peers):
            assert scenarios[target.case].includes(by_name[name], target.case), target


@pytest.mark.parametrize(("ours", "reached"), [(140, True), (160, False)])
def test_a_target_compares_our_total_with_the_peer_s(ours: float, reached: bool) -> None:
    results = {GET: {"ours": measured(server=ours, database=20), "litestar": measured()}}
    verdict = Target(GET, ("litestar",), "CPU", 1.1).verdict(results)
    assert verdict
    assert verdict.measured == pytest.approx((ours + 20) / 150)
    assert verdict.reached is reached


@pytest.mark.parametrize(("better", "worse"), [FASTIFY, FASTIFY[::-1]])
def test_a_target_compares_with_the_better_of_its_peers(better: str, worse: str) -> None:
    low, high = measured(), measured(server=1000)
    less_cpu = Target(GET, FASTIFY, "CPU", 1.0).verdict({GET: {"ours": low, better: low, worse: high}})
    slow, fast = replace(low, throughput=500), replace(low, throughput=2000)
    more_requests = Target(GET, FASTIFY, "requests/s", 1.0, at_least=True).verdict(
        {GET: {"ours": low, better: fast, worse: slow}}
    )
    assert less_cpu
    assert more_requests
    assert (less_cpu.against, less_cpu.measured, less_cpu.reached) == (better, 1.0, True)
    assert (more_requests.against, more_requests.measured, more_requests.reached) == (better, 0.5, False)


def test_a_peer_that_fails_requests_does_not_count_as_the_better_one() -> None:
    failing, working = measured(server=1, failed=1), measured()
    target = Target(GET, FASTIFY, "CPU", 1.0)
    verdict = target.verdict({GET: {"ours": measured(), "fastify": working, "fastify-cached": failing}})
    assert verdict
    assert verdict.against == "fastify"
    assert target.verdict({GET: {"ours": measured(), "fastify": failing}}) is None


def test_a_server_that_fails_requests_reaches_no_target() -> None:
    results = {GET: {"ours": measured(server=1, failed=1), "fastify": measured()}}
    verdict = Target(GET, ("fastify",), "CPU", 1.1).verdict(results)
    assert verdict
    assert not verdict.reached
    assert "1 failed" in report.one_table(results, "near", 32)
    assert report.failures(results) == ["near: ours failed 1 of get at 32 connections"]


def test_one_case_with_too_much_memory_misses_the_target_for_all() -> None:
    results = all_cases(ours=measured(memory=MOST_MEMORY))
    [within] = [verdict for verdict in verdicts(results, {}) if verdict.figure == "MB"]
    results |= {GET: {"ours": measured(memory=MOST_MEMORY + 1)}}
    [above] = [verdict for verdict in verdicts(results, {}) if verdict.figure == "MB"]
    assert within.reached
    assert not above.reached


def test_the_outcome_is_one_line_with_the_numbers_of_missed_targets_and_of_failures() -> None:
    reached = Verdict("get", "32", "CPU", "fastify", "≤ 1.0", measured=0.9, reached=True)
    missed = replace(reached, measured=1.1, reached=False)
    assert "| reached |" in report.targets([reached])
    assert "| **missed** |" in report.targets([missed])
    assert report.outcome([reached, reached], []) == "All 2 targets reached."
    assert report.outcome([reached, missed, missed], []) == "2 of 3 targets missed."
    assert report.outcome([reached, missed], ["near: x"]) == "1 of 2 targets missed; failures of servers: 1."


def test_litestar_and_the_tutorial_are_measured_at_32_connections_and_ours_everywhere() -> None:
    measured_at = {
        server.name: {
            case.connections for scenario in SCENARIOS for case in scenario.cases() if scenario.includes(server, case)
        }
        for server in SERVERS
    }
    assert measured_at["litestar"] == measured_at["tutorial"] == {32}
    assert measured_at["ours"] == measured_at["fastify"] == measured_at["fastify-cached"] == {1, 32, 256}


def test_a_variant_of_ours_has_its_own_environment_and_is_measured_with_its_operations_only() -> None:
    variant = replace(OURS, name="ours-variant", environment={"LOG_LEVEL": "error"}, operations=("put", "complete"))
    near = SCENARIOS[0]
    assert {case.operation for case in near.cases() if near.includes(variant, case)} == {"put", "complete"}
    address, issuer = DatabaseAddress("bench", "/tmp"), Issuer(port=1)
    own, usual = (environment(server, address, issuer, "HS256", logged=False) for server in (variant, OURS))
    assert own["LOG_LEVEL"] == "error"
    assert "LOG_LEVEL" not in usual


def test_servers_log_requests_only_in_the_scenario_for_that_whatever_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, issuer = DatabaseAddress("bench", "/tmp"), Issuer(port=1)
    for server in SERVERS:
        for name in server.request_log:
            monkeypatch.setenv(name, "inherited")
        silent, logging = (environment(server, address, issuer, "HS256", logged=logged) for logged in (False, True))
        for name, switched_on in server.request_log.items():
            assert silent[name] not in (switched_on, "inherited"), server.name
            assert logging[name] == switched_on, server.name
    assert [scenario.name for scenario in SCENARIOS if scenario.logged] == ["logged"]


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with databases("instruments") as [created]:
        yield created


@pytest.fixture
def simple(database: Database, tmp_path: Path) -> Iterator[SystemUnderTest]:
    """A server that responds to everything, and logs nothing."""
    issuer, callers = Issuer(port=1), tmp_path / "callers"
    owners = {kind: [Owner(kind, [1])] for kind in ("small", "large", "writer")}
    write_callers(callers, owners, issuer, "HS256")
    server = replace(SERVERS[1], name="simple", command=[sys.executable, "-c", SERVER])
    with serving(server, DatabaseAddress(database.name, database.socket), issuer) as process:
        yield SystemUnderTest("simple", process, database, callers)


def test_a_server_that_exits_while_it_is_measured_fails_and_is_restarted(simple: SystemUnderTest) -> None:
    (simple.server.folder / "exit").touch()
    failed = measure_interleaved(GET, [simple], rounds=1, seconds=1, echo=print)["simple"].failed
    again = measure_interleaved(GET, [simple], rounds=1, seconds=1, echo=print)["simple"].failed
    assert (failed, again) == (GET.connections, 0)


def test_a_server_that_does_not_log_a_request_fails_where_requests_are_logged(simple: SystemUnderTest) -> None:
    silent = simple.measure(GET, seconds=1, seed=1)
    logged = replace(simple, logged=True).measure(GET, seconds=1, seed=1)
    assert silent.failed == 0
    assert logged.failed > 0


def test_a_run_goes_on_without_a_peer_that_does_not_start_but_not_without_ours(
    database: Database, tmp_path: Path
) -> None:
    fastify = next(server for server in SERVERS if server.name == "fastify")
    peer = replace(fastify, command=[sys.executable, "-c", "raise SystemExit('broken')"])
    bench = Bench(database, Issuer(port=1), tmp_path / "measurements", print)
    assert bench.starts([peer]) == {}
    assert [fault.partition(":\n")[0] for fault in bench.faults] == ["start: fastify does not respond"]
    with pytest.raises(ServerFailed):
        bench.starts([replace(peer, is_ours=True)])


def test_measurements_are_saved_case_by_case(tmp_path: Path) -> None:
    file = tmp_path / "measurements"
    save(file, GET, {"ours": measured(), "fastify": measured(server=1)})
    save(file, replace(GET, operation="put"), {"ours": measured(failed=1)})
    first, second, third = (json.loads(line) for line in file.read_text().splitlines())
    assert first == {"scenario": "near", "operation": "get", "connections": 32, "name": "ours"} | asdict(measured())
    assert (second["name"], second["server"]) == ("fastify", 1)
    assert (third["operation"], third["failed"]) == ("put", 1)


def test_the_summary_has_cpu_and_throughput_of_every_server() -> None:
    results = {GET: {"ours": measured(server=80, database=9), "litestar": measured(failed=1)}}
    assert report.summary(results).splitlines()[-1] == "| get                | 89, 1000 | **failed** |"


def test_the_chart_has_a_bar_for_each_server_and_operation_inside_its_frame() -> None:
    servers = {"ours": measured(), "tutorial": measured(server=90_000), "fastify": measured(failed=1)}
    drawn = ElementTree.fromstring(chart.draw(all_cases(**servers)))
    bars = [bar for bar in drawn.iter() if bar.get("height") == str(chart.BAR) and bar.get("class") == "server"]
    assert len(bars) == 2 * len(OPERATIONS) + 1, "one for the legend; none for figures of failed requests"
    for bar in bars:
        assert float(str(bar.get("x"))) + float(str(bar.get("width"))) <= chart.WIDTH
