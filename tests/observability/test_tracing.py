"""What a trace collector receives: OTLP over HTTP from the OpenTelemetry SDK."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from entrypoints.observability.tracing import Tracing
from tests.cli.conftest import TIMEOUT, Todo, wait_until
from tests.faults.machine import waited

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


class Collector:
    """Records what it receives."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers = 200
        self.bodies: list[bytes] = []
        self.services: list[str] = []

    def spans(self) -> list[Span]:
        """In the order in which they began."""
        found = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.services += [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def wait_for(self, number: int) -> None:
        """Until so many spans have arrived. The export at shutdown has a time limit, which a busy machine exceeds."""
        wait_until(lambda: len(self.spans()) >= number)


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            made.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(made.answers)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        made = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def attributes(span: Span) -> dict[str, object]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


def test_each_request_has_a_span_that_continues_its_trace_and_reveals_nothing_about_users(
    todo: Todo, collector: Collector
) -> None:
    with todo.serve(OTEL_EXPORTER_OTLP_ENDPOINT=collector.address, **AT_ONCE) as server:
        alice = server.client(todo.token("alice-the-user"))
        alice.post(
            "/api/tasks?access_token=s3cret",
            json={"title": "a private title"},
            headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"},
        )
        alice.get("/api/alice-the-user/tasks/77")
        alice.get("/nowhere/s3cret", headers={"traceparent": "00-nonsense-01"})
        collector.wait_for(3)
        assert server.stop() == 0
    created, missing, nowhere = collector.spans()
    assert created.name == "POST /api/tasks"
    assert created.kind == Span.SPAN_KIND_SERVER
    assert (created.trace_id.hex(), created.parent_span_id.hex(), created.trace_state) == (TRACE, PARENT, "vendor=1")
    assert attributes(created) == {
        "http.request.method": "POST",
        "http.route": "/api/tasks",
        "http.response.status_code": 201,
    }
    assert created.end_time_unix_nano > created.start_time_unix_nano
    assert (missing.name, attributes(missing)["http.response.status_code"]) == ("GET /api/{user_id}/tasks/{id}", 404)
    assert (nowhere.name, nowhere.parent_span_id) == ("GET", b"")
    assert len({span.trace_id for span in (created, missing, nowhere)}) == 3
    assert set(collector.services) == {"todo-backend"}
    for private in (b"alice", b"s3cret", b"private", b"/77"):
        assert private not in b"".join(collector.bodies)
    traced = [json.loads(line).get("trace_id") for line in (todo.folder / "log").read_text().splitlines()]
    assert traced == [span.trace_id.hex() for span in (created, missing, nowhere)]


def test_a_malformed_trace_state_is_not_quoted_in_the_log(todo: Todo, collector: Collector) -> None:
    with todo.serve(OTEL_EXPORTER_OTLP_ENDPOINT=collector.address) as server:
        for state in ('{"event":"forged"}', "forged" * 1000, "=forged"):
            traced = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": state}
            assert server.client().get("/openapi.json", headers=traced).status_code == 200
        assert server.stop() == 0
    lines = [json.loads(line) for line in (todo.folder / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["request"] * 3


def test_the_span_of_a_server_error_is_marked_as_an_error(todo: Todo, collector: Collector) -> None:
    nowhere = {
        "DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/app",
        "BETTER_AUTH_SECRET": "a secret of at least thirty-two bytes",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.address,
        "OTEL_SERVICE_NAME": "tasks-of-a-test",
        **AT_ONCE,
    }
    with todo.serve(**nowhere) as server:
        assert server.client().get("/readyz").status_code == 503
        assert server.client().get("/api/tasks").status_code == 401
        collector.wait_for(2)
        assert server.stop() == 0
    failed, refused = collector.spans()
    assert (failed.name, failed.status.code) == ("GET /readyz", Status.STATUS_CODE_ERROR)
    assert (refused.name, refused.status.code) == ("GET", Status.STATUS_CODE_UNSET)
    assert set(collector.services) == {"tasks-of-a-test"}


async def test_spans_that_remain_at_shutdown_are_exported(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    tracing = Tracing()
    async with tracing.flushed(TIMEOUT):
        tracing.provider.get_tracer("test").start_span("the last").end()
    assert [span.name for span in collector.spans()] == ["the last"]


def test_an_unavailable_collector_delays_neither_requests_nor_shutdown(todo: Todo) -> None:
    with todo.serve(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1") as server:
        assert server.client(todo.token("alice")).get("/api/tasks").status_code == 200
        pid, began = server.process.pid, time.monotonic() - waited(server.process.pid)
        server.process.send_signal(signal.SIGTERM)
        while server.process.poll() is None:
            ended = time.monotonic() - waited(pid)  # on a busy machine, what it waits for a CPU is no delay of ours
            time.sleep(0.01)
        assert server.process.returncode == 0
        assert ended - began < 8


def test_an_unavailable_collector_is_logged_once(todo: Todo, collector: Collector) -> None:
    collector.answers = 400  # so that it is not tried again
    with todo.serve(OTEL_EXPORTER_OTLP_ENDPOINT=collector.address, **AT_ONCE) as server:
        client = server.client()
        for batches in range(1, 4):
            client.get("/healthz")
            wait_until(lambda batches=batches: len(collector.bodies) >= batches)  # type: ignore[misc]
        collector.answers = 200
        client.get("/healthz")
        wait_until(lambda: "trace collector available" in (todo.folder / "log").read_text())
        assert server.stop() == 0
    lines = [json.loads(line) for line in (todo.folder / "log").read_text().splitlines()]
    refused, taken = [line for line in lines if line["event"] != "request"]
    assert "400" in refused["event"]
    assert (refused["level"], taken["event"]) == ("error", "trace collector available")


def test_without_the_extra_the_log_says_what_is_missing(todo: Todo, tmp_path_factory: pytest.TempPathFactory) -> None:
    without = tmp_path_factory.mktemp("without")
    (without / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry.sdk'] = None\n")
    path = os.pathsep.join([str(without), os.environ.get("PYTHONPATH", ""), str(Path(__file__).parents[2])])
    with todo.serve(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", PYTHONPATH=path) as server:
        assert server.client().get("/healthz").status_code == 200
        assert server.stop() == 0
    [first, *_] = [json.loads(line) for line in (todo.folder / "log").read_text().splitlines()]
    assert (first["event"], first["level"]) == ("tracing disabled", "warning")
    assert "requirements-otel.txt" in first["reason"]
