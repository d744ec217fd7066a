"""OpenTelemetry spans, exported in the background to OTEL_EXPORTER_OTLP_ENDPOINT.

Requests have spans (`http/middleware/tracing.py`). Statements have none: each serves many requests.
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

SERVICE = "todo-backend"
_log = structlog.get_logger()
_exporter_logger = logging.getLogger(OTLPSpanExporter.__module__)


class Tracing:
    """The tracer provider of one process, and its background export, configured by the standard variables (OTEL_*).

    Also silences the library's warnings about malformed `tracestate` fields, which quote what the client sent.
    """

    def __init__(self) -> None:
        logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)
        resource = Resource.create({"service.name": SERVICE}).merge(OTELResourceDetector().detect())
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(_Exporter()))

    @asynccontextmanager
    async def flushed(self, seconds: float = 2) -> AsyncIterator[None]:
        """Exports the remaining spans on exit. Spans not exported within `seconds` are lost; the library itself would
        block for up to 30 s."""
        yield
        shutdown = threading.Thread(target=self.provider.shutdown, daemon=True)
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
