"""Is it alive, and can it serve? Outside authentication, for whoever runs the process."""

from operator import attrgetter

from fastapi import APIRouter, Request
from starlette.responses import Response
from typing_extensions import TypedDict

from entrypoints.http.express import Operation

router = APIRouter(tags=["health"], generate_unique_id_function=attrgetter("name"), route_class=Operation)


class Health(TypedDict):
    """How the process is."""

    status: str


@router.get("/healthz", response_model=Health)
async def alive() -> Response:
    """The process runs. Asks nobody, so that a probe never keeps the database awake."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get("/readyz", response_model=Health)
async def ready(request: Request) -> Response:
    """The database answers within a second. 503 comes within two."""
    await request.app.state.ping()
    return Response(b'{"status":"ready"}', media_type="application/json")
