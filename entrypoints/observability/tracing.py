"""One OpenTelemetry span per request, exported in the background to OTEL_EXPORTER_OTLP_ENDPOINT.

A span has the fields of the request log, without the caller. Statements have no spans: each serves many requests.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode, format_trace_id
from opentelemetry.trace import TracerProvider as Tracers
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.context import context

NAME = "todo-backend"
_TRACE_CONTEXT = TraceContextTextMapPropagator()
_FIELDS = (b"traceparent", b"tracestate")
_log = structlog.get_logger()
_exporter_logger = logging.getLogger(OTLPSpanExporter.__module__)


class Tracing:
    """Traces of one process: a middleware, and the background export, configured by the standard variables (OTEL_*).

    Also silences the library's warnings about malformed `tracestate` fields, which quote what the client sent.
    """

    def __init__(self) -> None:
        logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)
        resource = Resource.create({"service.name": NAME}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_Exporter()))
        self.middleware = Middleware(TracingMiddleware, tracers=self._provider)

    @asynccontextmanager
    async def flushed(self, seconds: float = 2) -> AsyncIterator[None]:
        """Exports the remaining spans on exit. Spans not exported within `seconds` are lost; the library itself would
        block for up to 30 s."""
        yield
        shutdown = threading.Thread(target=self._provider.shutdown, daemon=True)
        shutdown.start()
        await asyncio.to_thread(shutdown.join, seconds)


class _Exporter(OTLPSpanExporter):
    """Logs an unavailable collector once, with the library's reason, rather than once per batch."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        succeeded = result is SpanExportResult.SUCCESS
        if succeeded and _exporter_logger.disabled:
            _log.warning("trace collector available")
        _exporter_logger.disabled = not succeeded
        return result


class TracingMiddleware:
    """Continues the trace of the request (W3C Trace Context), or starts one."""

    def __init__(self, app: ASGIApp, tracers: Tracers) -> None:
        self._app = app
        self._tracer = tracers.get_tracer(NAME)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _FIELDS}
        span = self._tracer.start_span(scope["method"], _TRACE_CONTEXT.extract(sent), SpanKind.SERVER)
        context(scope).trace_id = format_trace_id(span.get_span_context().trace_id)
        status = 0

        async def noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting_status)
        finally:
            _set_attributes(span, scope, status)
            span.end()


def _set_attributes(span: Span, scope: Scope, status: int) -> None:
    """OpenTelemetry's semantic conventions for HTTP servers."""
    span.set_attribute("http.request.method", scope["method"])
    if route := scope.get("route"):
        span.update_name(f"{scope['method']} {route.path}")
        span.set_attribute("http.route", route.path)
    if status:
        span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)
