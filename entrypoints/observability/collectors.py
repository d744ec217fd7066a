"""What one process has counted: told through a socket to whoever may open it."""

import asyncio
import json
import operator
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from secrets import token_hex
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from adapters.better_auth.identity import BetterAuthIdentityProvider
from adapters.better_auth.jwks import PublishedKeys
from adapters.postgres.batching import Batcher
from adapters.postgres.pool import Pool
from entrypoints.container import Container
from entrypoints.observability.request_metrics import BOUNDS, Durations, RequestCounts


async def tell(container: Container, counts: RequestCounts, folder: Path) -> asyncio.Server:
    """Listens at a new socket in the folder, and gives whoever connects all of it as JSON."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_json(families(container, counts)))
        await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(answer, folder / f"{os.getpid()}-{token_hex(4)}")


def _json(told: Iterable[Metric]) -> bytes:
    rows = [
        (family.name, family.type, family.documentation, [sample[:3] for sample in family.samples]) for family in told
    ]
    return json.dumps(rows).encode()


def families(container: Container, counts: RequestCounts) -> Iterator[Metric]:
    """Read where it is counted, when it is asked for."""
    yield from _requests(counts)
    yield from _identity(container.identity(), container.published())
    yield from _lanes(container.database().batchers)
    yield from _database(container.pool())


def _requests(counts: RequestCounts) -> Iterator[Metric]:
    answered = CounterMetricFamily(
        "todo_http_requests", "Requests that have ended.", labels=["method", "route", "status"]
    )
    together: dict[tuple[str, str], Durations] = defaultdict(Durations)
    for (method, route, status), ended in counts.ended.items():
        answered.add_metric([method, route, str(status)], sum(ended.numbers))
        operation = together[method, route]
        operation.numbers = [*map(operator.add, operation.numbers, ended.numbers)]
        operation.seconds += ended.seconds
    yield answered
    durations = HistogramMetricFamily(
        "todo_http_request_duration_seconds",
        "From a request's head to the end of its answer.",
        labels=["method", "route"],
    )
    for (method, route), operation in together.items():
        within = zip([*map(str, BOUNDS), "+Inf"], accumulate(operation.numbers), strict=True)
        durations.add_metric([method, route], [*within], operation.seconds)
    yield durations
    yield GaugeMetricFamily("todo_http_requests_in_progress", "Requests under way.", counts.in_progress)
    errors = CounterMetricFamily("todo_http_errors", "Answers that are errors.", labels=["code"])
    for code, number in counts.errors.items():
        errors.add_metric([code], number)
    yield errors


def _identity(identity: BetterAuthIdentityProvider, published: PublishedKeys | None) -> Iterator[Metric]:
    accepted = CounterMetricFamily("todo_identity_accepted", "Tokens that were accepted.", labels=["how"])
    accepted.add_metric(["remembered"], identity.remembered)
    accepted.add_metric(["checked"], identity.checked)
    yield accepted
    if published:
        yield GaugeMetricFamily("todo_jwks_age_seconds", "Since the published keys were fetched.", published.age)


def _lanes(lanes: Mapping[str, Batcher]) -> Iterator[Metric]:
    statements = CounterMetricFamily("todo_lane_statements", "Statements that were sent.", labels=["lane"])
    calls = CounterMetricFamily("todo_lane_calls", "Calls that were sent, in those statements.", labels=["lane"])
    waiting = GaugeMetricFamily("todo_lane_waiting", "Calls that are not sent yet.", labels=["lane"])
    refused = CounterMetricFamily("todo_lane_refused", "Calls refused because too many waited.", labels=["lane"])
    for name, lane in lanes.items():
        statements.add_metric([name], lane.statements_sent)
        calls.add_metric([name], lane.calls_sent)
        waiting.add_metric([name], lane.waiting)
        refused.add_metric([name], lane.refused)
    yield from (statements, calls, waiting, refused)


def _database(database: Pool) -> Iterator[Metric]:
    yield GaugeMetricFamily("todo_database_up", "1, or 0 while statements fail.", database.available)
    yield CounterMetricFamily("todo_database_failures", "Statements that failed.", database.failures)
    pool: Any = database.engine.pool
    open_ = pool.checkedin() + pool.checkedout()
    yield GaugeMetricFamily("todo_database_connections_open", "Connections that are open or being made.", open_)
    yield GaugeMetricFamily("todo_database_connections_in_use", "Those that a statement holds.", pool.checkedout())
    yield GaugeMetricFamily("todo_database_waiting", "Statements that wait for a connection.", database.waiting)
