"""Which pages may call the API from a browser."""

import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

ANY_PORT = ":*"
"""In place of an origin's port, any."""


def _with_any_port(origin: str) -> str:
    return re.escape(origin.removesuffix(ANY_PORT)) + "(:[0-9]{1,5})?"


class Cors(CORSMiddleware):
    """Pages of the given origins, with credentials; an origin may end in ANY_PORT. Any other page gets nothing that
    it could read."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        patterns = [_with_any_port(origin) for origin in origins if origin.endswith(ANY_PORT)]
        super().__init__(
            app,
            allow_origins=[origin for origin in origins if not origin.endswith(ANY_PORT)],
            allow_origin_regex="|".join(patterns) or None,
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
