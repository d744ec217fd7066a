"""Is it alive, and can it serve? Outside authentication, for whoever runs the process."""

import asyncio
from operator import attrgetter

from fastapi import APIRouter, Request
from typing_extensions import TypedDict

from domain.errors import StorageUnavailable

READY_WITHIN = 1.0  # seconds

router = APIRouter(tags=["health"], generate_unique_id_function=attrgetter("name"))


class Health(TypedDict):
    """How the process is."""

    status: str


@router.get("/healthz")
async def alive() -> Health:
    """The process runs. Asks nobody, so that a probe never keeps the database awake."""
    return {"status": "ok"}


@router.get("/readyz")
async def ready(request: Request) -> Health:
    """The database answers within a second."""
    try:
        async with asyncio.timeout(READY_WITHIN):
            await request.app.state.ping()
    except TimeoutError:
        raise StorageUnavailable from None
    return {"status": "ready"}
