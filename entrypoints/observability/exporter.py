"""The port that Prometheus asks at. One for all processes that serve, whose numbers are put together."""

import json
import operator
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from itertools import chain
from pathlib import Path
from socketserver import TCPServer
from threading import Thread
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from entrypoints.observability import METRICS_FOLDER as FOLDER

PATIENCE = 1.0  # seconds that a process may take to answer

_TOGETHER: dict[str, Callable[[float, float], float]] = {"todo_database_up": min, "todo_jwks_age_seconds": min}
"""What two processes' values are together, where it is not their sum."""

_log = structlog.get_logger()

_Told = list[tuple[str, str, str, list[tuple[str, dict[str, str], float]]]]


@contextmanager
def exposed(host: str, port: int) -> Iterator[int]:
    """Yields the port, which is a free one for 0. Raises OSError where nobody can listen there."""
    with tempfile.TemporaryDirectory(prefix="todo-metrics-") as folder:
        registry = CollectorRegistry()
        registry.register(AllProcesses(Path(folder)))
        os.environ[FOLDER] = folder
        with _Server((host, port), partial(_Scrape, registry)) as server:
            thread = Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield server.server_address[1]
            finally:
                server.shutdown()
                thread.join()


class _Server(TCPServer):
    """Answers one after the other: whoever is slow keeps others from the metrics, and takes nothing from the API."""

    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], answer: Callable[..., BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, answer)

    def handle_error(self, *_: object) -> None:
        failure = sys.exception()
        if not isinstance(failure, OSError):  # whoever asked has gone, or was too slow
            _log.error("defect", exc_info=failure)


class _Scrape(BaseHTTPRequestHandler):
    timeout = 2.0  # seconds, for each read and write

    def __init__(self, registry: CollectorRegistry, *connection: Any) -> None:
        self._registry = registry
        super().__init__(*connection)

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        body = generate_latest(self._registry)
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Asking for metrics is nothing that the log should tell."""


class AllProcesses(Collector):
    """Of a process that is gone what it counted stays, as far as it was told: no counter ever goes back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: dict[str, _Told] = {}
        self._counted_by_the_gone: _Told = []

    def collect(self) -> Iterator[Metric]:
        here = {path.name for path in [*self._folder.iterdir()] if self._ask(path)}
        away = [_counters(told) for process, told in self._told.items() if process not in here]
        told = _sum([self._counted_by_the_gone, *away, *(self._told[process] for process in here)])
        yield GaugeMetricFamily("todo_workers", "Processes that serve.", len(here))
        for name, kind, documentation, samples in told:
            family = Metric(name, documentation, kind)
            family.samples = [Sample(*sample) for sample in samples]
            yield family

    def _ask(self, path: Path) -> bool:
        """Whether the process answers in time."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PATIENCE)
                connection.connect(str(path))
                with connection.makefile("rb") as answer:
                    self._told[path.name] = json.load(answer)
        except ConnectionRefusedError:
            if path.name in self._told:  # else it may only just have begun
                told = _counters(self._told.pop(path.name))
                self._counted_by_the_gone = _sum([self._counted_by_the_gone, told])
                path.unlink(missing_ok=True)
            return False
        except (OSError, ValueError):
            return False
        return True


def _counters(told: _Told) -> _Told:
    return [family for family in told if family[1] != "gauge"]


def _sum(tellings: Iterable[_Told]) -> _Told:
    families: dict[str, tuple[str, str, str]] = {}
    values: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}
    for name, kind, documentation, samples in chain(*tellings):
        families.setdefault(name, (name, kind, documentation))
        together: Callable[[float, float], float] = _TOGETHER.get(name, operator.add)
        for sample, labels, value in samples:
            key = name, sample, tuple(labels.items())
            values[key] = together(values[key], value) if key in values else value
    summed: dict[str, list[tuple[str, dict[str, str], float]]] = {name: [] for name in families}
    for (name, sample, pairs), value in values.items():
        summed[name].append((sample, dict(pairs), value))
    return [(*family, summed[name]) for name, family in families.items()]
