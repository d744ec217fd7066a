"""The port that Prometheus asks at. One for all processes that serve, whose numbers are put together."""

import json
import operator
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from entrypoints.metrics import FOLDER

PATIENCE = 1.0  # seconds that a process may take to answer

_TOGETHER: dict[str, Callable[[float, float], float]] = {"todo_database_up": min, "todo_jwks_age_seconds": min}
"""What two processes' values are together, where it is not their sum."""

_Told = list[tuple[str, str, str, list[tuple[str, dict[str, str], float]]]]


@contextmanager
def exposed(host: str, port: int) -> Iterator[int]:
    """Yields the port, which is a free one for 0. Raises OSError where nobody can listen there."""
    with tempfile.TemporaryDirectory(prefix="todo-metrics-") as folder:
        registry = CollectorRegistry()
        registry.register(AllProcesses(Path(folder)))
        server, thread = start_http_server(port, host, registry)
        os.environ[FOLDER] = folder
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class AllProcesses(Collector):
    """Of a process that is gone what it counted stays, as far as it was told: no counter ever goes back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: dict[str, _Told] = {}

    def collect(self) -> Iterator[Metric]:
        here = {path.name: told for path in self._folder.iterdir() if (told := _ask(path))}
        self._told |= here
        yield GaugeMetricFamily("todo_workers", "Processes that serve.", len(here))
        families: dict[str, Metric] = {}
        values: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}
        for process, told in [*self._told.items()]:
            for name, kind, documentation, samples in told:
                if kind == "gauge" and process not in here:
                    continue
                families.setdefault(name, Metric(name, documentation, kind))
                together: Callable[[float, float], float] = _TOGETHER.get(name, operator.add)
                for sample, labels, value in samples:
                    key = name, sample, tuple(labels.items())
                    values[key] = together(values[key], value) if key in values else value
        for (name, sample, pairs), value in values.items():
            families[name].samples.append(Sample(sample, dict(pairs), value))
        yield from families.values()


def _ask(path: Path) -> _Told | None:
    """None where nobody answers in time."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(path))
            with connection.makefile("rb") as answer:
                told: _Told = json.load(answer)
                return told
    except (OSError, ValueError):
        return None
