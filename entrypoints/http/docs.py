"""`/docs`: the API to read and to try, from this server alone and under a strict content security policy."""

from importlib.resources import files

from starlette.responses import Response

from entrypoints.http.express import Operation

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tasks API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = b"""SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
});
"""


def routes() -> list[Operation]:
    """The page and its parts, read once. Swagger UI itself comes with the package fastapi-offline."""
    static = files("fastapi_offline") / "static"
    parts = {
        "/docs": (_PAGE, "text/html"),
        "/docs/start.js": (_START, "text/javascript"),
        "/docs/swagger-ui.css": ((static / "swagger-ui.css").read_bytes(), "text/css"),
        "/docs/swagger-ui-bundle.js": ((static / "swagger-ui-bundle.js").read_bytes(), "text/javascript"),
        "/docs/favicon.png": ((static / "favicon.png").read_bytes(), "image/png"),
    }
    return [_route(path, content, media_type) for path, (content, media_type) in parts.items()]


def _route(path: str, content: bytes, media_type: str) -> Operation:
    headers = {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }

    async def part() -> Response:
        return Response(content, headers=headers, media_type=media_type)

    return Operation(path, part, include_in_schema=False)
