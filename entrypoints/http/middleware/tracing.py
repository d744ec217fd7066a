"""One OpenTelemetry span per request, with the fields of the request log except the caller."""

from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.context import context

_TRACE_CONTEXT = TraceContextTextMapPropagator()
_FIELDS = (b"traceparent", b"tracestate")


class Tracing:
    """Continues the trace of the request (W3C Trace Context), or starts one."""

    def __init__(self, app: ASGIApp, provider: TracerProvider) -> None:
        self._app = app
        self._tracer = provider.get_tracer(__name__)

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
