"""Health checks for the process's operator, outside authentication."""

from operator import attrgetter

from fastapi import APIRouter, Request
from starlette.responses import Response
from typing_extensions import TypedDict

from domain.errors import StorageUnavailable
from entrypoints.http.context import services
from entrypoints.http.openapi import HEALTH, errors
from entrypoints.http.problem import ERRORS, respond

_UNCACHED = {"Cache-Control": "no-store"}

router = APIRouter(tags=["health"], generate_unique_id_function=attrgetter("name"))


class Health(TypedDict):
    """The state of the process."""

    status: str


@router.get("/healthz", summary="Liveness", response_model=Health, responses=HEALTH)
async def alive() -> Response:
    """The process is running. Does not touch the database, so that probes never keep it awake."""
    return Response(b'{"status":"ok"}', headers=_UNCACHED, media_type="application/json")


@router.get(
    "/readyz", summary="Readiness", response_model=Health, responses={**HEALTH, **errors(ERRORS[StorageUnavailable])}
)
async def ready(request: Request) -> Response:
    """The database responds within a second. Otherwise 503, within two seconds."""
    try:
        await services(request).ping()
    except StorageUnavailable as failure:
        return respond(request.scope, failure, reason=str(failure))
    return Response(b'{"status":"ready"}', headers=_UNCACHED, media_type="application/json")
