"""What Prometheus scrapes."""

import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from threading import Event

import httpx2
import psycopg
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from adapters.better_auth.identity import ExpectedClaims, sign
from adapters.better_auth.jwks import JwksClient
from domain.values import UserId
from entrypoints.http.problem import CODES
from entrypoints.observability.request_metrics import BUCKETS, RequestCounts
from tests.cli.conftest import TIMEOUT, Serving, Todo

ROOT = Path(__file__).parents[2]
ON = {"METRICS_PORT": "0"}
SECRET = "a secret of at least thirty-two bytes"


class Exposed:
    """One scrape."""

    def __init__(self, server: Serving) -> None:
        answer = httpx2.get(address(server), timeout=TIMEOUT)
        assert answer.status_code == 200
        self.text = answer.text
        self.families: list[Metric] = [*text_string_to_metric_families(self.text)]
        self.names = {sample.name for family in self.families for sample in family.samples}

    def __getitem__(self, name: str) -> float:
        """The sum of all samples with this name."""
        return self.of(name)

    def of(self, name: str, **labels: str) -> float:
        return sum(
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


class Added(Exposed):
    """One scrape, with counters as from `before` on."""

    def __init__(self, server: Serving, before: Exposed) -> None:
        super().__init__(server)
        self._before = before

    def of(self, name: str, **labels: str) -> float:
        since = self._before.of(name, **labels) if name.endswith(("_total", "_count", "_sum", "_bucket")) else 0.0
        return super().of(name, **labels) - since


def address(server: Serving) -> str:
    [said] = [line for line in server.said if line.startswith("Metrics at")]
    return said.split()[-1]


def requests(exposed: Exposed, method: str, route: str, status: int) -> float:
    return exposed.of("todo_http_requests_total", method=method, route=route, status=str(status))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[tuple[Todo, Serving]]:
    """A server with metrics, for tests of what requests add."""
    program = Todo(tmp_path_factory.mktemp("shared"), prepared)
    with program.serve(**ON) as server:
        yield program, server


@pytest.fixture
def temporary() -> Iterator[Path]:
    """The program's folder for temporary files; its path is short, for sockets."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def workers(temporary: Path) -> set[int]:
    return {int(path.name.partition("-")[0]) for path in temporary.glob("todo-metrics-*/*")}


def test_without_a_port_there_are_no_metrics(todo: Todo, temporary: Path) -> None:
    with todo.serve(TMPDIR=str(temporary)) as server:
        assert server.client(todo.token("alice")).get("/metrics").status_code == 404
        assert not [line for line in server.said if "Metrics" in line]
        assert not [*temporary.glob("todo-metrics-*")]


def test_metrics_have_a_port_of_their_own_on_this_machine_only_and_leave_nothing_behind(
    todo: Todo, temporary: Path
) -> None:
    with todo.serve(**ON, TMPDIR=str(temporary)) as server:
        where = httpx2.URL(address(server))
        assert (where.host, where.path) == ("127.0.0.1", "/metrics")
        scrape_until(server, lambda exposed: exposed["todo_workers"] == 1)
        assert server.client().get("/metrics").status_code == 404
        assert [*temporary.glob("todo-metrics-*")]
        assert server.stop() == 0
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(where)
    assert not [*temporary.glob("todo-metrics-*")]


def test_slow_and_malformed_scrapes_burden_neither_the_api_nor_the_log(shared: tuple[Todo, Serving]) -> None:
    todo, server = shared
    where = httpx2.URL(address(server))
    with ExitStack() as slow:
        for _ in range(30):
            client = slow.enter_context(socket.create_connection((where.host, where.port), TIMEOUT))
            client.sendall(b"GET /met")
        assert server.client().get("/openapi.json").status_code == 200
        assert Exposed(server)["todo_workers"] == 1
    for wrong in (b"\0\n", b"BREW /metrics HTTP/1.1\r\n\r\n"):
        with socket.create_connection((where.host, where.port), TIMEOUT) as client:
            client.sendall(wrong)
            assert b"todo_" not in client.makefile("rb").read()
    assert Exposed(server)["todo_workers"] == 1
    assert {json.loads(line)["event"] for line in (todo.folder / "log").read_text().splitlines()} == {"request"}


def test_prometheus_may_ask_for_openmetrics(shared: tuple[Todo, Serving]) -> None:
    _, server = shared
    before = requests(Exposed(server), "GET", "/healthz", 200)
    server.client().get("/healthz")
    accepted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    response = httpx2.get(address(server), headers=accepted, timeout=TIMEOUT)
    assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    parsed = openmetrics.text_string_to_metric_families(response.text)  # type: ignore[no-untyped-call]
    families = {family.name: family for family in parsed}
    probes = [sample for sample in families["todo_http_requests"].samples if sample.labels["route"] == "/healthz"]
    assert [sample.value for sample in probes] == [before + 1]


def test_a_metrics_port_in_use_is_one_clear_line(todo: Todo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = todo.run("serve", "--private", "--port", "0", METRICS_PORT=str(port))
    assert refused.returncode == 1
    assert refused.stderr == f"Cannot listen on METRICS_HOST 127.0.0.1, METRICS_PORT {port}: Address already in use.\n"


def test_requests_are_counted_by_route_and_nothing_is_revealed_about_users(shared: tuple[Todo, Serving]) -> None:
    todo, server = shared
    before = Exposed(server)
    alice = server.client(todo.token("alice-the-user"))
    for title in ("a private title", "another"):
        made = alice.post("/api/tasks", json={"title": title}).json()
    alice.get(f"/api/alice-the-user/tasks/{made['id']}")
    alice.get("/api/tasks/7777777777")
    alice.get("/api/bob/tasks")
    alice.get("/nowhere/s3cret")
    alice.request("PROPFIND", "/api/tasks")
    server.client().get("/api/tasks")
    exposed = Added(server, before)
    assert requests(exposed, "POST", "/api/tasks", 201) == 2
    assert requests(exposed, "GET", "/api/{user_id}/tasks/{id}", 200) == 1
    assert requests(exposed, "GET", "/api/tasks/{id}", 404) == 1
    assert requests(exposed, "GET", "/api/{user_id}/tasks", 403) == 1
    assert requests(exposed, "GET", "none", 404) == 1
    assert requests(exposed, "GET", "none", 401) == 1
    assert requests(exposed, "other", "/api/tasks", 405) == 1
    assert exposed["todo_http_requests_total"] == exposed["todo_http_request_duration_seconds_count"] == 8
    assert exposed["todo_http_requests_in_progress"] == 0
    errors = {code: exposed.of("todo_http_errors_total", code=code) for code in ("missing_token", "not_yours")}
    assert errors == {"missing_token": 1, "not_yours": 1}
    assert exposed["todo_http_errors_total"] == 5
    assert exposed.of("todo_tokens_accepted_total", cache="miss") == 1
    assert exposed.of("todo_tokens_accepted_total", cache="hit") == 5
    for private in ("alice", "bob", "s3cret", "private", "7777777777"):
        assert private not in exposed.text


def test_durations_are_a_histogram_of_seconds(shared: tuple[Todo, Serving]) -> None:
    todo, server = shared
    before = Exposed(server)
    alice = server.client(todo.token("alice"))
    for _ in range(20):
        alice.get("/api/tasks")
    exposed = Added(server, before)
    route = {"method": "GET", "route": "/api/tasks"}
    within = [
        exposed.of("todo_http_request_duration_seconds_bucket", **route, le=le) for le in [*map(str, BUCKETS), "+Inf"]
    ]
    assert within == sorted(within)
    assert within[-1] == exposed.of("todo_http_request_duration_seconds_count", **route) == 20
    assert 0 < exposed.of("todo_http_request_duration_seconds_sum", **route) < 20


def test_every_error_code_is_reported_as_zero_before_it_occurs(todo: Todo) -> None:
    """A series that begins at 1 is no increase, so an alert on its rate would miss the first error."""
    with todo.serve(**ON) as server:
        before = Exposed(server)
        server.client().get("/api/tasks")
        after = Exposed(server)
    errors = {
        sample.labels["code"]: sample.value
        for family in before.families
        for sample in family.samples
        if sample.name == "todo_http_errors_total"
    }
    assert errors == dict.fromkeys(CODES, 0)
    assert before.of("todo_batch_refused_total", kind="add") == 0
    assert {"todo_batch_refused_total", "todo_database_failures_total"} <= before.names
    assert after.of("todo_http_errors_total", code="missing_token") == after["todo_http_errors_total"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_each_worker_reports_its_memory_and_start_and_all_report_their_cpu_time(todo: Todo, temporary: Path) -> None:
    began = time.time()
    with todo.serve("--workers", "2", **ON, TMPDIR=str(temporary)) as server:
        exposed = scrape_until(server, lambda exposed: exposed["todo_workers"] == 2)
        serving = {str(pid) for pid in workers(temporary)}
        assert exposed.of("todo_build_info", version=version("todo-backend")) == exposed["todo_build_info"] == 1
        for gauge in ("process_resident_memory_bytes", "process_start_time_seconds", "process_open_fds"):
            values = {
                sample.labels["pid"]: sample.value
                for family in exposed.families
                for sample in family.samples
                if sample.name == gauge
            }
            assert values.keys() == serving, gauge
        for pid in serving:
            assert 20e6 < exposed.of("process_resident_memory_bytes", pid=pid) < 500e6
            assert began - 2 < exposed.of("process_start_time_seconds", pid=pid) < time.time() + 2
        before = exposed["process_cpu_seconds_total"]
        assert 0 < before < 60
        os.kill(int(min(serving)), signal.SIGKILL)
        killed = f'pid="{min(serving)}"'
        after = scrape_until(server, lambda exposed: exposed["todo_workers"] == 2 and killed not in exposed.text)
        assert after["process_cpu_seconds_total"] >= before, "CPU time of an exited worker is retained"


def test_calls_are_counted_apart_from_the_statements_that_they_share(shared: tuple[Todo, Serving]) -> None:
    todo, server = shared
    before = Exposed(server)
    with ThreadPoolExecutor(16) as together:
        alice = server.client(todo.token("alice"))
        task = alice.post("/api/tasks", json={"title": "Buy milk"}).json()
        [*together.map(lambda _: alice.get(f"/api/tasks/{task['id']}"), range(200))]
        exposed = Added(server, before)
    assert (
        exposed.of("todo_batch_calls_total", kind="add") == exposed.of("todo_batch_statements_total", kind="add") == 1
    )
    assert exposed.of("todo_batch_calls_total", kind="get") == 200
    assert 1 <= exposed.of("todo_batch_statements_total", kind="get") <= 200
    assert exposed["todo_batch_waiting"] == exposed["todo_batch_refused_total"] == 0
    assert 1 <= exposed["todo_database_connections_open"] <= 8
    assert exposed["todo_database_up"] == 1
    assert exposed["todo_database_failures_total"] == 0


def test_requests_that_wait_for_the_database_are_visible(todo: Todo) -> None:
    gauges = (
        "todo_database_connections_in_use",
        "todo_database_connections_open",
        "todo_database_waiting",
        "todo_http_requests_in_progress",
    )
    with todo.serve(**ON, DATABASE_CONNECTIONS="1") as server, ThreadPoolExecutor() as together:
        alice = server.client(todo.token("alice"))
        alice.post("/api/tasks", json={"title": "Buy milk"})
        sockets = (todo.folder / ".todo/postgres/postmaster.pid").read_text().splitlines()[4]
        seen = Event()
        with psycopg.connect(f"host={sockets} user=postgres dbname=postgres") as somebody:
            somebody.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            asking = [together.submit(_repeat, alice, path, seen) for path in ("/api/tasks", "/api/tasks/1")]
            try:
                scrape_until(server, lambda exposed: [exposed[name] for name in gauges] == [1, 1, 1, 2])
            finally:
                seen.set()
        for each in asking:
            each.result(TIMEOUT)


def _repeat(client: httpx2.Client, path: str, seen: Event) -> None:
    """Each request waits until its budget is spent."""
    while not seen.is_set():
        client.get(path)


def scrape_until(server: Serving, condition: Callable[[Exposed], bool]) -> Exposed:
    deadline = time.monotonic() + TIMEOUT
    while not condition(exposed := Exposed(server)):
        assert time.monotonic() < deadline, exposed.text
        time.sleep(0.01)
    return exposed


def test_an_unavailable_database_and_jwks_are_visible(todo: Todo) -> None:
    nowhere = {
        "DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/app",
        "BETTER_AUTH_URL": "http://127.0.0.1:1",
        "BETTER_AUTH_SECRET": SECRET,
    }
    with todo.serve(**ON, **nowhere) as server:
        assert server.client().get("/healthz").status_code == 200
        assert Exposed(server)["todo_database_up"] == 1, "no statement was sent yet"
        alice = server.client(sign(UserId("alice"), SECRET, ExpectedClaims(), seconds=60))
        assert alice.get("/api/tasks").status_code == 503
        exposed = Exposed(server)
    assert exposed["todo_database_up"] == 0
    assert exposed["todo_database_failures_total"] > 0
    assert exposed["todo_jwks_age_seconds"] == float("inf")
    assert exposed.of("todo_http_errors_total", code="storage_unavailable") == 1


def test_metrics_cover_all_workers_and_counters_of_a_killed_one_are_retained(todo: Todo, temporary: Path) -> None:
    with todo.serve("--workers", "2", **ON, TMPDIR=str(temporary)) as server:
        scrape_until(server, lambda exposed: exposed["todo_workers"] == 2)
        with ThreadPoolExecutor(16) as together:
            for answer in together.map(lambda _: httpx2.get(f"{server.address}/healthz"), range(200)):
                assert answer.status_code == 200
        before = scrape_until(server, lambda exposed: requests(exposed, "GET", "/healthz", 200) == 200)
        killed = min(workers(temporary))
        os.kill(killed, signal.SIGKILL)
        scrape_until(server, lambda exposed: exposed["todo_workers"] == 2 and killed not in workers(temporary))
        httpx2.get(f"{server.address}/healthz")
        after = scrape_until(server, lambda exposed: requests(exposed, "GET", "/healthz", 200) == 201)
        assert server.stop() == 0
    assert before["todo_database_up"] == after["todo_database_up"] == 1, "not the sum over the workers"


def test_every_metric_in_the_dashboard_and_the_documentation_exists(todo: Todo) -> None:
    away = {"BETTER_AUTH_URL": "http://127.0.0.1:1", "BETTER_AUTH_SECRET": SECRET}
    with todo.serve(**ON, **away) as server:
        server.client().get("/api/tasks")
        exposed = Exposed(server)
    dashboard = (ROOT / "deploy/grafana-dashboard.json").read_text()
    alerts = yaml.safe_load((ROOT / "deploy/alerts.yaml").read_text())
    asked = {
        name
        for expression in _expressions([json.loads(dashboard), alerts])
        for name in re.findall(r"\w+_\w+", expression)
    }
    prefixes = ("todo_", "process_") if sys.platform == "linux" else ("todo_",)
    metrics = {name for name in asked if name.startswith(prefixes)}
    assert len(metrics) > 10
    assert metrics <= exposed.names
    reference = (ROOT / "docs/reference/metrics.md").read_text()
    documented = re.findall(r"^\| `((?:todo|process)_\w+)` \|", reference, re.MULTILINE)
    reported = {family.name + ("_total" if family.type == "counter" else "") for family in exposed.families}
    assert len(documented) == len({*documented})
    assert {name for name in documented if name.startswith("todo_")} == {
        name for name in reported if name.startswith("todo_")
    }
    assert {*documented} - reported == set() or sys.platform != "linux"
    assert reported <= {*documented}


def _expressions(dashboard: object) -> Iterator[str]:
    """Every query of every panel and variable."""
    if isinstance(dashboard, dict):
        yield from (text for name, text in dashboard.items() if name in ("expr", "query") and isinstance(text, str))
        for part in dashboard.values():
            yield from _expressions(part)
    elif isinstance(dashboard, list):
        for part in dashboard:
            yield from _expressions(part)


def test_clients_cannot_inflate_the_number_of_series() -> None:
    counts = RequestCounts()
    for number in range(1000):
        counts.begin()
        counts.end(f"METHOD{number}", None, 404, 0.001, "not_found")
    assert counts.in_progress == 0
    [(kind, durations)] = counts.ended.items()
    assert kind == ("other", "none", 404)
    assert durations.counts == [1000] + [0] * len(BUCKETS)
    assert counts.errors == {"not_found": 1000}


async def test_the_age_of_the_jwks_grows_with_the_clock() -> None:
    now = 100.0
    keys = JwksClient("http://127.0.0.1:1/jwks", now=lambda: now)
    assert keys.age == float("inf")
    keys._fetched_at = now
    now = 160.0
    assert keys.age == 60
    await keys.close()
