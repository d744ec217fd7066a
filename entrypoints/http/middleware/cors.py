"""Which pages may call the API from a browser."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from entrypoints.cors_origins import is_pattern, regular_expression


class Cors(CORSMiddleware):
    """Pages of the given origins, exact ones and patterns, with credentials. Any other page gets nothing that it could
    read."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=[origin for origin in origins if not is_pattern(origin)],
            allow_origin_regex=regular_expression(origins),
            allow_credentials=True,
            max_age=7200,  # seconds; the longest that Chromium keeps
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=(
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "If-Match",
                "If-None-Match",
                "Traceparent",
                "Tracestate",
                "X-Request-ID",
            ),
            expose_headers=("Allow", "ETag", "Link", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"),
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """A refusal is the absence of a permission (Fetch standard, section 4.8), not an error to be read."""
        response = super().preflight_response(request_headers)
        return response if response.status_code == 200 else Response(status_code=204, headers={"Vary": "Origin"})
