"""DIALECT=words: who the caller is, `GET /api/users/me`."""

import base64
from operator import attrgetter

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response
from typing_extensions import TypedDict

from domain.errors import NotAuthenticated
from entrypoints.http.contract import Contract
from entrypoints.http.openapi import errors
from entrypoints.http.problem import ERRORS
from entrypoints.http.responses import PRIVATE

CONTRACT = Contract("/api/users", "Who the caller is.")
router = APIRouter(prefix=CONTRACT.prefix, tags=[CONTRACT.prefix], generate_unique_id_function=attrgetter("name"))


class Caller(TypedDict):
    """The user whose token it is."""

    id: str
    email: str | None
    name: str | None


@router.get(
    "/me",
    response_model=Caller,
    responses=errors(ERRORS[NotAuthenticated]),
    openapi_extra={"security": [{"bearer": []}]},
    summary="Get the caller",
)
async def me(request: Request) -> Response:
    """From the token, which was verified before."""
    payload = request.headers["authorization"].split(".")[1]
    claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    body = {"id": claims["sub"], "email": claims.get("email"), "name": claims.get("name")}
    return Response(orjson.dumps(body), media_type="application/json", headers=PRIVATE)
