"""The OpenAPI document: FastAPI's own, with one schema for all errors and the schemas of request bodies.

Routes declare what is special about them with the constants below, as FastAPI's `responses`.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, NotRequired

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from application.todo_list import CHUNK
from domain.errors import InvalidValue, ListChanged, TaskChanged, TaskNotFound, WrongCredentialType
from entrypoints.http.json_body import JsonBody
from entrypoints.http.problem import CODES, ERRORS, HTTP_ERRORS, TITLES, ErrorSpec, problem_body

DESCRIPTION = """To-do lists for many users. Each user sees and changes only their own tasks.

Send a JWT from Better Auth as a bearer token. Two contracts serve the same tasks; they differ in a few responses.
"""

BEARER = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A JWT from Better Auth. For development, `todo token --user me` prints one.",
    }
}

_EXAMPLE_ID = "5f2b8c0e9d7a4f0bb1f3c6a2e8d4971c"
_REF = "#/components/schemas/{model}"

Responses = dict[int | str, dict[str, Any]]


def _headers(**descriptions: str) -> dict[str, Any]:
    return {
        name.replace("_", "-"): {"description": description, "schema": {"type": "string"}}
        for name, description in descriptions.items()
    }


def errors(*specs: ErrorSpec) -> Responses:
    """Error responses for FastAPI's `responses`, with an example of each."""
    by_status: dict[int, list[ErrorSpec]] = {}
    for spec in dict.fromkeys(specs):
        by_status.setdefault(spec.status, []).append(spec)
    return {status: _error(status, by_status[status]) for status in sorted(by_status)}


def _error(status: int, specs: Sequence[ErrorSpec]) -> dict[str, Any]:
    headers = _headers(X_Request_ID="Identifies the request in the log.")
    if status == 401:
        headers |= _headers(WWW_Authenticate="RFC 6750 section 3.")
    if status >= 500:
        headers |= _headers(Retry_After="Seconds to wait before retrying, if storage or identity was unavailable.")
    examples = {spec.code: {"value": _example(spec)} for spec in specs}
    content = {"schema": {"$ref": _REF.format(model="Problem")}, "examples": examples}
    return {
        "description": TITLES[status],
        "headers": headers,
        "content": {"application/json": content, "application/problem+json": content},
    }


def _example(spec: ErrorSpec) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if spec.code == ERRORS[InvalidValue].code:
        fault = {"field": "title", "message": "must have 1 to 200 characters"}
        spec, more = replace(spec, detail="title must have 1 to 200 characters"), {"errors": [fault]}
    if spec.code == ERRORS[WrongCredentialType].code:
        more = {"hint": "This is a session token. Send the JWT from /api/auth/token instead."}
    return {**json.loads(problem_body(spec, _EXAMPLE_ID)), **more}


_ID = _headers(X_Request_ID="Identifies the request in the log, and in an error.")
_ETAG = _headers(ETag=f"RFC 9110 section 8.8.3. A list of more than {CHUNK} tasks has none.")
_LINK = _headers(Link='`rel="next"`, if there is a next page (RFC 8288).')
_NOT_MODIFIED: dict[str, Any] = {"description": "Not Modified", "headers": _ETAG}

_MISSING, _CHANGED = ERRORS[TaskNotFound], ERRORS[TaskChanged]

HEALTH: Responses = {200: {"headers": _ID}}
CREATE: Responses = {201: {"headers": {**_ID, **_headers(Location="The URL of the new task."), **_ETAG}}}
LIST: Responses = {200: {"headers": {**_ID, **_ETAG, **_LINK}}, 304: _NOT_MODIFIED}
READ: Responses = {200: {"headers": {**_ID, **_ETAG}}, 304: _NOT_MODIFIED, **errors(_MISSING)}
CHANGE: Responses = {200: {"headers": {**_ID, **_ETAG}}, **errors(_MISSING, _CHANGED)}
DELETE_ALL: Responses = {200: {"headers": _ID}, **errors(HTTP_ERRORS[405], ERRORS[ListChanged])}
CONFIRMED = {
    "parameters": [
        {
            "name": "all",
            "in": "query",
            "required": True,
            "schema": {"type": ["boolean", "string"], "enum": [True, "true"]},
            "description": "Confirms that all tasks are meant. 405 without it.",
        }
    ]
}
DELETE: Responses = {204: {"headers": _ID}, **errors(_MISSING, _CHANGED)}


class InvalidField(TypedDict):
    """What is wrong with one field."""

    field: Annotated[str, Field(examples=["title"])]
    message: Annotated[str, Field(examples=["must have 1 to 200 characters"])]


class Problem(TypedDict):
    """The body of every error (RFC 9457)."""

    status: Annotated[int, Field(examples=[404])]
    title: Annotated[str, Field(examples=["Not Found"])]
    code: Annotated[
        str,
        Field(
            description="For programs; never changes.", examples=["task_not_found"], json_schema_extra={"enum": CODES}
        ),
    ]
    detail: Annotated[str, Field(description="For people.", examples=["Task not found"])]
    error: Annotated[str, Field(description="The same as `detail`.", examples=["Task not found"])]
    message: Annotated[str, Field(description="The same as `detail`.", examples=["Task not found"])]
    request_id: Annotated[str, Field(examples=[_EXAMPLE_ID])]
    errors: NotRequired[Annotated[list[InvalidField], Field(description="Invalid input, field by field.")]]
    hint: NotRequired[Annotated[str, Field(examples=["Send the JWT from /api/auth/token instead."])]]


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            license_info=app.license_info,
            tags=app.openapi_tags,
            routes=app.routes,
        )
        schemas = document["components"]["schemas"]
        for route in iter_route_contexts(app.routes):
            if isinstance(route.original_route, APIRoute) and route.include_in_schema:
                _correct(document, route, schemas)
        _add(schemas, "Problem", TypeAdapter(Problem))
        for unused in ("HTTPValidationError", "ValidationError", "Sort"):
            schemas.pop(unused, None)
        document["components"].setdefault("securitySchemes", {}).update(BEARER)
        app.openapi_schema = document
    return app.openapi_schema


def _correct(document: dict[str, Any], route: RouteContext, schemas: dict[str, Any]) -> None:
    """Adds the schema of the route's body. Invalid input is a Problem, not FastAPI's HTTPValidationError."""
    for body in (part.call for part in route.dependant.dependencies if isinstance(part.call, JsonBody)):
        _add(schemas, body.name, body.adapter)
    for method in route.methods or ():
        responses = document["paths"][route.path_format][method.lower()]["responses"]
        if _REF.format(model="HTTPValidationError") in str(responses.get("422")):
            del responses["422"]
            if not hasattr(route.original_route, "contract"):
                responses["422"] = _error(422, [ERRORS[InvalidValue]])


def _add(schemas: dict[str, Any], name: str, model: TypeAdapter[Any]) -> None:
    schema = model.json_schema(ref_template=_REF)
    for defined, definition in {**schema.pop("$defs", {}), name: schema}.items():
        if schemas.setdefault(defined, definition) != definition:
            raise ValueError(f"two different models are named {defined}: rename one of them")
