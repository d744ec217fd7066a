"""Prometheus metrics on a port of their own, aggregated across the processes that serve."""

import json
import operator
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

_NOT_SUMMED: dict[str, Callable[[float, float], float]] = {"todo_database_up": min, "todo_jwks_age_seconds": min}
"""How the values of two processes are combined, where not by addition."""

_Family = tuple[str, str, str, list[tuple[str, dict[str, str], float]]]
"""Name, type, documentation and samples."""


class Exporter(NamedTuple):
    """Where Prometheus scrapes, and the folder for the metrics sockets of the processes that serve."""

    port: int
    folder: Path


@contextmanager
def exporting(host: str, port: int) -> Iterator[Exporter]:
    """Serves metrics in threads of this process; port 0 takes a free one. Raises OSError if it cannot listen there."""
    with tempfile.TemporaryDirectory(prefix="todo-metrics-") as name:
        folder = Path(name)
        registry = CollectorRegistry()
        registry.register(AllProcesses(folder))
        server, thread = start_http_server(port, host, registry)
        try:
            yield Exporter(server.server_port, folder)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class AllProcesses(Collector):
    """Asks each process for its metrics on every scrape, and aggregates them.

    Counters of exited workers are retained, as of the last scrape, so totals never decrease. A process that does not
    respond within `timeout` seconds is missing from the gauges.
    """

    def __init__(self, folder: Path, timeout: float = 1) -> None:
        self._folder = folder
        self._timeout = timeout
        self._latest: dict[str, list[_Family]] = {}
        """By socket name."""
        self._exited: list[_Family] = []
        self._lock = Lock()
        """Each scrape has a thread of its own."""

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            responding = {path.name for path in self._sockets() if self._scrape(path)}
            silent = [_counters(latest) for name, latest in self._latest.items() if name not in responding]
            families = _aggregated([self._exited, *silent, *(self._latest[name] for name in responding)])
        yield GaugeMetricFamily("todo_workers", "Processes that serve.", len(responding))
        build = GaugeMetricFamily("todo_build_info", "Always 1; the label is the version.", labels=["version"])
        build.add_metric([version("todo-backend")], 1)
        yield build
        for name, kind, documentation, samples in families:
            family = Metric(name, documentation, kind)
            family.samples = [Sample(*sample) for sample in samples]
            yield family

    def _sockets(self) -> list[Path]:
        try:
            return [*self._folder.iterdir()]
        except FileNotFoundError:  # a worker that is started makes the folder again
            return []

    def _scrape(self, path: Path) -> bool:
        """Whether the process responded in time."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(self._timeout)
                connection.connect(str(path))
                with connection.makefile("rb") as response:
                    self._latest[path.name] = json.load(response)
        except ConnectionRefusedError:
            if path.name in self._latest:  # otherwise it may be about to listen
                self._exited = _aggregated([self._exited, _counters(self._latest.pop(path.name))])
                path.unlink(missing_ok=True)
            return False
        except (OSError, ValueError):
            return False
        return True


def _counters(families: list[_Family]) -> list[_Family]:
    return [family for family in families if family[1] != "gauge"]


def _aggregated(processes: Iterable[list[_Family]]) -> list[_Family]:
    families: dict[str, tuple[str, str, str]] = {}
    values: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}
    for name, kind, documentation, samples in chain(*processes):
        families.setdefault(name, (name, kind, documentation))
        combine: Callable[[float, float], float] = _NOT_SUMMED.get(name, operator.add)
        for sample, labels, value in samples:
            key = name, sample, tuple(labels.items())
            values[key] = combine(values[key], value) if key in values else value
    samples_of: dict[str, list[tuple[str, dict[str, str], float]]] = {name: [] for name in families}
    for (name, sample, pairs), value in values.items():
        samples_of[name].append((sample, dict(pairs), value))
    return [(*family, samples_of[name]) for name, family in families.items()]
