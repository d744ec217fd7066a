"""One span for each request, by OpenTelemetry: sent where OTEL_EXPORTER_OTLP_ENDPOINT says, in the background.

A span says what the log says of a request, and of its caller nothing at all. Statements have none: each serves many
requests.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode, format_trace_id
from opentelemetry.trace import TracerProvider as Tracers
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.context import context

NAME = "todo-backend"
REST_SECONDS = 2.0  # that a stop waits for a collector which does not take what is left
_TRACE_CONTEXT = TraceContextTextMapPropagator()
_FIELDS = (b"traceparent", b"tracestate")
_log = structlog.get_logger()
logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)  # it warns of what callers sent, and quotes it
_its_words = logging.getLogger(OTLPSpanExporter.__module__)


def provider() -> TracerProvider:
    """As the standard variables (OTEL_*) have it. It must be ended by `send_rest`."""
    resource = Resource.create({"service.name": NAME}).merge(OTELResourceDetector().detect())
    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(_Exporter()))
    return made


async def send_rest(traces: TracerProvider) -> None:
    """Ends it: what is not sent within REST_SECONDS is lost. The library itself would try for up to 30 s."""
    sending = threading.Thread(target=traces.shutdown, daemon=True)
    sending.start()
    await asyncio.to_thread(sending.join, REST_SECONDS)


class _Exporter(OTLPSpanExporter):
    """Lets the library say once why the collector takes no spans, and not again for every batch until it does."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        taken = result is SpanExportResult.SUCCESS
        if taken and _its_words.disabled:
            _log.warning("collector available")
        _its_words.disabled = not taken
        return result


class Tracing:
    """Continues the trace that a request belongs to (W3C Trace Context), or begins one."""

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
            _describe(span, scope, status)
            span.end()


def _describe(span: Span, scope: Scope, status: int) -> None:
    """In the words of the semantic conventions for HTTP."""
    span.set_attribute("http.request.method", scope["method"])
    if route := scope.get("route"):
        span.update_name(f"{scope['method']} {route.path}")
        span.set_attribute("http.route", route.path)
    if status:
        span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(StatusCode.ERROR)
