"""The FastAPI application, put together."""

import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI
from starlette.middleware import Middleware

from entrypoints import settings
from entrypoints.container import Container
from entrypoints.http import docs, health, openapi
from entrypoints.http.contracts import tasks, user_tasks
from entrypoints.http.cursors import Cursors
from entrypoints.http.express import App
from entrypoints.http.json_body import BodyLimit
from entrypoints.http.middleware.authentication import Authentication
from entrypoints.http.middleware.cors import Cors
from entrypoints.http.middleware.request_log import RequestLog
from entrypoints.http.problem import Errors
from entrypoints.observability import METRICS_FOLDER as FOLDER
from entrypoints.observability.logs import configure
from entrypoints.observability.request_metrics import RequestCounts
from entrypoints.server.workers import leave_with_parent

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_log = structlog.get_logger()


def from_environment() -> FastAPI:
    """What uvicorn starts in each of its processes."""
    configure()
    leave_with_parent()
    counts = RequestCounts() if FOLDER in os.environ else None
    return create(Container(settings=settings.load()), counts, _traces())


def create(
    container: Container, counts: RequestCounts | None = None, traces: "TracerProvider | None" = None
) -> FastAPI:
    """The application on the container's adapters, which its lifespan warms up and closes.

    With `counts`, requests are counted, and whoever asks for metrics is told. With `traces`, each has a span.
    """
    app = App(
        title="Tasks",
        version=version("todo-backend"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda _: _lifespan(container, counts, traces),
        # Flat, because every level of routers costs time. The second contract comes first: its addresses
        # are the narrower ones, and a user may be called "tasks".
        routes=[*user_tasks.router.routes, *tasks.router.routes, *health.router.routes, *docs.routes()],
        middleware=[
            *([_tracing(traces)] if traces else []),
            Middleware(RequestLog, counts=counts),
            Middleware(Cors, origins=container.settings().origins),
            Middleware(Errors),
            Middleware(Authentication, identity=container.identity()),
            Middleware(BodyLimit),
        ],
    )
    app.state.todo_list = container.todo_list
    app.state.cursors = Cursors(container.settings().cursor_key)
    app.state.ping = container.ping
    app.state.complete_toggles = container.settings().complete_toggles
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(
    container: Container, counts: RequestCounts | None, traces: "TracerProvider | None"
) -> AsyncIterator[None]:
    published = container.published()
    if published:
        published.refresh()
    async with _telling(container, counts) if counts else nullcontext():
        gc.collect()
        gc.freeze()  # what is there from the start stays: looking through it again and again would hold up requests
        gc.enable()
        yield
    if published:
        await published.close()
    await container.pool().close()
    if traces:
        await _sent(traces)


# What metrics and tracing need is imported where they are wanted.


@asynccontextmanager
async def _telling(container: Container, counts: RequestCounts) -> AsyncIterator[None]:
    from entrypoints.observability.collectors import tell

    listening = await tell(container, counts, Path(os.environ[FOLDER]))
    yield
    listening.close()


def _traces() -> "TracerProvider | None":
    """Where a collector is named, by OpenTelemetry's own variable, and the extra `otel` is installed."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return None
    try:
        from entrypoints.observability.tracing import provider
    except ModuleNotFoundError:
        _log.warning("no tracing", reason="OTEL_EXPORTER_OTLP_ENDPOINT is set, but requirements-otel.txt not installed")
        return None
    return provider()


async def _sent(traces: "TracerProvider") -> None:
    from entrypoints.observability.tracing import send_rest

    await send_rest(traces)


def _tracing(traces: "TracerProvider") -> Middleware:
    from entrypoints.observability.tracing import Tracing

    return Middleware(Tracing, tracers=traces)
