"""The metrics of one process, reported through a Unix socket when they are scraped."""

import asyncio
import json
import operator
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import accumulate
from pathlib import Path
from secrets import token_hex

import structlog
from prometheus_client import Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from adapters.better_auth.identity import BetterAuthIdentityProvider
from adapters.better_auth.jwks import JwksClient
from adapters.postgres.batching import Batcher
from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from entrypoints.container import Container
from entrypoints.observability.request_metrics import BUCKETS, Durations, RequestCounts

_log = structlog.get_logger()


@asynccontextmanager
async def reporting(container: Container, counts: RequestCounts, folder: Path) -> AsyncIterator[None]:
    """Listens on a new socket in the folder, and sends all metrics as JSON to each process that connects.

    Makes the folder again if it was deleted. If it cannot listen there, the process serves without being scraped.
    """

    async def respond(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_json(families(container, counts)))
        await writer.drain()
        writer.close()

    try:
        await asyncio.to_thread(folder.mkdir, mode=0o700, exist_ok=True)
        server = await asyncio.start_unix_server(respond, folder / f"{os.getpid()}-{token_hex(4)}")
    except OSError as failure:
        _log.warning("metrics not reported", reason=failure.strerror)
        yield
        return
    yield
    server.close()


def _json(metrics: Iterable[Metric]) -> bytes:
    rows = [
        (family.name, family.type, family.documentation, [sample[:3] for sample in family.samples])
        for family in metrics
    ]
    return json.dumps(rows).encode()


def families(container: Container, counts: RequestCounts) -> Iterator[Metric]:
    """All metrics of this process, read from the objects that keep them."""
    yield from _requests(counts)
    yield from _identity(container.identity(), container.jwks())
    yield from _batches(container.database())
    yield from _database(container.pool())
    yield from _process()


def _requests(counts: RequestCounts) -> Iterator[Metric]:
    completed = CounterMetricFamily(
        "todo_http_requests", "HTTP requests completed.", labels=["method", "route", "status"]
    )
    by_route: dict[tuple[str, str], Durations] = defaultdict(Durations)
    for (method, route, status), ended in counts.ended.items():
        completed.add_metric([method, route, str(status)], sum(ended.counts))
        total = by_route[method, route]
        total.counts = [*map(operator.add, total.counts, ended.counts)]
        total.seconds += ended.seconds
    yield completed
    durations = HistogramMetricFamily(
        "todo_http_request_duration_seconds",
        "Time from the end of the request head to the end of the response.",
        labels=["method", "route"],
    )
    for (method, route), total in by_route.items():
        cumulative = zip([*map(str, BUCKETS), "+Inf"], accumulate(total.counts), strict=True)
        durations.add_metric([method, route], [*cumulative], total.seconds)
    yield durations
    yield GaugeMetricFamily("todo_http_requests_in_progress", "HTTP requests in progress.", counts.in_progress)
    errors = CounterMetricFamily("todo_http_errors", "Error responses, by problem code.", labels=["code"])
    for code, number in counts.errors.items():
        errors.add_metric([code], number)
    yield errors


def _identity(identity: BetterAuthIdentityProvider, jwks: JwksClient | None) -> Iterator[Metric]:
    accepted = CounterMetricFamily(
        "todo_tokens_accepted", "Accepted tokens: hit, verified before; miss, verified now.", labels=["cache"]
    )
    accepted.add_metric(["hit"], identity.remembered)
    accepted.add_metric(["miss"], identity.verified)
    yield accepted
    if jwks:
        yield GaugeMetricFamily("todo_jwks_age_seconds", "Time since the JWKS was last fetched.", jwks.age)


def _batches(database: Database) -> Iterator[Metric]:
    statements = CounterMetricFamily("todo_batch_statements", "Statements sent, one per batch.", labels=["kind"])
    calls = CounterMetricFamily("todo_batch_calls", "Calls sent in those statements.", labels=["kind"])
    waiting = GaugeMetricFamily("todo_batch_waiting", "Calls waiting for the next batch.", labels=["kind"])
    refused = CounterMetricFamily("todo_batch_refused", "Calls refused because the queue was full.", labels=["kind"])
    by_kind: defaultdict[str, list[Batcher]] = defaultdict(list)
    for kind, batcher in (*database.batchers.items(), *database.batchers_of_shards):
        by_kind[kind].append(batcher)
    for kind, batchers in by_kind.items():
        statements.add_metric([kind], sum(batcher.statements_sent for batcher in batchers))
        calls.add_metric([kind], sum(batcher.calls_sent for batcher in batchers))
        waiting.add_metric([kind], sum(batcher.waiting for batcher in batchers))
        refused.add_metric([kind], sum(batcher.refused for batcher in batchers))
    yield from (statements, calls, waiting, refused)


def _database(database: Pool) -> Iterator[Metric]:
    yield GaugeMetricFamily("todo_database_up", "0 while statements fail, else 1.", database.available)
    yield CounterMetricFamily("todo_database_failures", "Statements that failed.", database.failures)
    yield GaugeMetricFamily("todo_database_connections_open", "Connections open.", database.open)
    yield GaugeMetricFamily("todo_database_connections_in_use", "Connections in use.", database.in_use)
    yield GaugeMetricFamily("todo_database_waiting", "Statements waiting for a connection.", database.waiting)


_process_collector = ProcessCollector(registry=None)


def _process() -> Iterator[Metric]:
    """The standard metrics of a process, on Linux. Gauges name their process; CPU time is a sum over all workers."""
    for family in _process_collector.collect():
        if family.type == "gauge":
            family.samples = [sample._replace(labels={"pid": str(os.getpid())}) for sample in family.samples]
        yield family
