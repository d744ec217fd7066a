"""The FastAPI application."""

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
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from entrypoints import settings
from entrypoints.container import Container
from entrypoints.http import docs, health, openapi, problem
from entrypoints.http.context import Services
from entrypoints.http.contracts import tasks, user_tasks
from entrypoints.http.express import Express
from entrypoints.http.middleware.authentication import Authentication
from entrypoints.http.middleware.body_limit import BodyLimit
from entrypoints.http.middleware.cors import Cors
from entrypoints.http.middleware.errors import Errors
from entrypoints.http.middleware.request_log import RequestLog
from entrypoints.observability import METRICS_FOLDER as FOLDER
from entrypoints.observability.logs import configure
from entrypoints.observability.request_metrics import RequestCounts
from entrypoints.server.workers import leave_with_parent

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_log = structlog.get_logger()

CONTRACTS = (user_tasks, tasks)
"""In order of precedence: a user may be called "tasks"."""


def from_environment() -> FastAPI:
    """What uvicorn starts in each of its processes."""
    configure()
    leave_with_parent()
    counts = RequestCounts() if FOLDER in os.environ else None
    return create(Container(settings=settings.load()), counts=counts, traces=_traces())


def create(
    container: Container,
    *,
    express: bool = True,
    counts: RequestCounts | None = None,
    traces: "TracerProvider | None" = None,
) -> FastAPI:
    """The application on the container's adapters, which its lifespan warms up and closes.

    With `counts`, requests are counted and available to Prometheus. With `traces`, each request has a span. Without
    `express`, FastAPI runs every route.
    """
    app = FastAPI(
        title="Tasks",
        description=openapi.DESCRIPTION,
        version=version("todo-backend"),
        openapi_tags=[
            *({"name": part.CONTRACT.prefix, "description": part.CONTRACT.description} for part in CONTRACTS),
            {"name": "health", "description": "For the operator of the process. Needs no token."},
        ],
        telemetry={"tracing": False, "metrics": False, "logs": False},  # `observability` has its own
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda _: _lifespan(container, counts, traces),
        exception_handlers={HTTPException: problem.handle, RequestValidationError: problem.handle},
        middleware=[
            Middleware(RequestLog, counts=counts),
            *([_tracing(traces)] if traces else []),
            Middleware(Cors, origins=container.settings().origins),
            Middleware(Errors),
            Middleware(Authentication, identity=container.identity()),
            Middleware(BodyLimit),
            *([Middleware(Express)] if express else []),
        ],
    )
    for contract in CONTRACTS:
        app.include_router(contract.router)
    app.include_router(health.router)
    app.include_router(docs.router())
    app.state.services = Services(
        todo_list=container.todo_list,
        ping=container.ping,
        complete_toggles=container.settings().complete_toggles,
    )
    app.openapi = partial(openapi.document, app)  # type: ignore[method-assign]
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
