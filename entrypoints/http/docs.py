"""`/docs`: interactive API documentation, served by this process alone under a strict content security policy."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

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
<link rel="stylesheet" href="docs/theme.css">
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
  persistAuthorization: true,
});
"""

_THEME = b"""@media (prefers-color-scheme: dark) {
  html { background: #1b1b1f; }
  .swagger-ui { filter: invert(0.88) hue-rotate(180deg); }
  .swagger-ui .microlight, .swagger-ui img { filter: invert(1) hue-rotate(180deg); }
}
"""
"""Swagger UI has no dark scheme of its own."""


def router() -> APIRouter:
    """The page and its assets, read once. Swagger UI itself comes with the package fastapi-offline."""
    static = files("fastapi_offline") / "static"
    assets = {
        "/docs": (_PAGE, "text/html"),
        "/docs/theme.css": (_THEME, "text/css"),
        "/docs/start.js": (_START, "text/javascript"),
        "/docs/swagger-ui.css": ((static / "swagger-ui.css").read_bytes(), "text/css"),
        "/docs/swagger-ui-bundle.js": ((static / "swagger-ui-bundle.js").read_bytes(), "text/javascript"),
        "/docs/favicon.png": ((static / "favicon.png").read_bytes(), "image/png"),
    }
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/", _to_docs)
    for path, (content, media_type) in assets.items():
        router.add_api_route(path, _asset(content, media_type))
    return router


async def _to_docs(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs", 307)


def _asset(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}

    async def asset() -> Response:
        return Response(content, headers=headers, media_type=media_type)

    return asset
