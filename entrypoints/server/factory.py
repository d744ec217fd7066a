"""What uvicorn starts in each process: the application, with the logs, metrics and traces of its process.

The supervisor of several workers imports this module too, so whatever takes time is imported inside the functions.
"""

import gc
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from entrypoints.observability import logs
from entrypoints.observability.request_metrics import RequestCounts
from entrypoints.server.workers import exit_with_parent
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.middleware import Middleware

    from entrypoints.observability.tracing import Tracing

YOUNG = 10_000
"""Young objects are scanned after so many more allocations than deallocations, by default 700 or 2,000: some dozens of
requests in progress have thousands of objects, none of them garbage."""

_log = structlog.get_logger()


def application(settings: Settings, metrics_folder: Path | None = None) -> "FastAPI":
    """The application of this process. Also configures its logging, and makes it stop when its parent dies.

    With `metrics_folder`, requests are counted, and metrics reported through a socket in that folder. Where
    OTEL_EXPORTER_OTLP_ENDPOINT is set, traces are exported.
    """
    from entrypoints.container import Container
    from entrypoints.http.app import create
    from entrypoints.http.problem import CODES

    logs.configure(settings.log_level, settings.log_format)
    exit_with_parent()
    container = Container(settings=settings)
    counts = None if metrics_folder is None else RequestCounts(CODES)
    tracing = _tracing()
    app = create(container, counts=counts, tracing=_tracing_middleware(tracing) if tracing else None)
    if metrics_folder and counts:
        from entrypoints.observability.collectors import reporting

        _extend_lifespan(app, lambda: reporting(container, counts, metrics_folder))
    if tracing:
        _extend_lifespan(app, tracing.flushed)
    _extend_lifespan(app, _frozen_heap)
    return app


@asynccontextmanager
async def _frozen_heap() -> AsyncIterator[None]:
    """Garbage collection ignores the objects of the loaded application, and looks rarely at those of requests in
    progress: scanning them again and again would delay requests."""
    gc.collect()
    gc.freeze()
    thresholds = gc.get_threshold()
    gc.set_threshold(*_thresholds(*thresholds))
    yield
    gc.set_threshold(*thresholds)


def _thresholds(young: int, middle: int, old: int) -> tuple[int, int, int]:
    """All objects are still scanned about as often as with these."""
    scans = (middle + 1) * (old + 1) * young / YOUNG
    each = max(0, round(sqrt(scans)) - 1)
    return YOUNG, each, each


def _tracing() -> "Tracing | None":
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return None
    try:
        from entrypoints.observability.tracing import Tracing
    except ModuleNotFoundError:
        reason = "OTEL_EXPORTER_OTLP_ENDPOINT is set, but requirements-otel.txt is not installed"
        _log.warning("tracing disabled", reason=reason)
        return None
    return Tracing()


def _tracing_middleware(tracing: "Tracing") -> "Middleware":
    from starlette.middleware import Middleware

    from entrypoints.http.middleware import tracing as middleware

    return Middleware(middleware.Tracing, provider=tracing.provider)


def _extend_lifespan(app: "FastAPI", context: Callable[[], AbstractAsyncContextManager[None]]) -> None:
    """Enters the context before the application starts, and leaves it after the application has stopped."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: "FastAPI") -> AsyncIterator[Any]:
        async with context(), inner(app) as state:
            yield state

    app.router.lifespan_context = lifespan
