"""The description of the API: what FastAPI knows, and what our own bodies, credentials and errors add to it."""

from collections.abc import Iterator
from typing import Annotated, Any, NotRequired

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from application.todo_list import CHUNK
from domain.errors import IdentityUnavailable, InvalidValue, StorageUnavailable, TaskChanged
from entrypoints.http.json_body import Body
from entrypoints.http.problem import ANSWERS, CODES, STATUS_IN_USER_CONTRACT, TITLES

DESCRIPTION = """To-do lists of many users; everybody sees and changes only their own tasks.

Send a JWT from Better Auth as a bearer token. The same tasks can be reached in two ways, which differ in a few answers.
"""

TAGS = [
    {"name": "/api/tasks", "description": "The owner is whoever the token speaks for."},
    {"name": "/api/{user_id}/tasks", "description": "The address names the owner, who must be the token's."},
    {"name": "health", "description": "For whoever runs the process. Needs no token."},
]

CONTRADICTION = {
    "anyOf": [
        {
            "properties": {"completed": {"const": completed}, "status": {"const": status}},
            "required": ["completed", "status"],
        }
        for completed, status in ((True, "incomplete"), (False, "complete"))
    ]
}
"""What no body may say."""

_REF = "#/components/schemas/{model}"


class InvalidField(TypedDict):
    """What is wrong with one field."""

    field: Annotated[str, Field(examples=["title"])]
    message: Annotated[str, Field(examples=["must have 1 to 200 characters"])]


class Problem(TypedDict):
    """Every error has this body (RFC 9457)."""

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
    request_id: Annotated[str, Field(examples=["5f2b8c0e9d7a4f0bb1f3c6a2e8d4971c"])]
    errors: NotRequired[Annotated[list[InvalidField], Field(description="What is wrong with the input, by field.")]]
    hint: NotRequired[Annotated[str, Field(examples=["Send the JWT from /api/auth/token instead."])]]


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        routes = [route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema]
        document = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, tags=TAGS, routes=routes)
        schemas = document["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            del schemas[unused]
        for route in routes:
            for method in route.methods or ():
                _complete(document["paths"][route.path_format][method.lower()], route, schemas)
        _add(schemas, "Problem", TypeAdapter(Problem))
        document["components"]["securitySchemes"] = {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A JWT from Better Auth.",
            }
        }
        app.openapi_schema = document
    return app.openapi_schema


def _complete(operation: dict[str, Any], route: APIRoute, schemas: dict[str, Any]) -> None:
    body = next(_bodies(route), None)
    if body is not None:
        _add(schemas, body.name, body.fields)
        schemas[body.name]["not"] = CONTRADICTION
        content = {"application/json": {"schema": {"$ref": _REF.format(model=body.name)}}}
        operation["requestBody"] = {"content": content, "required": body.required}
    if route.path.startswith("/api/"):
        operation["security"] = [{"bearer": []}]
    responses = {status: answer for status, answer in operation["responses"].items() if status < "400"}
    for answer in responses.values():
        answer["headers"] = {"X-Request-ID": _header("Names the request in the log, and in an error.")}
    if "201" in responses:
        responses["201"]["headers"]["Location"] = _header("The address of the new task.")
    if route.path.startswith("/api/"):
        _tell_of_conditions(operation, responses)
    operation["responses"] = responses | {
        str(status): _error(status) for status in sorted(_errors(route, body, operation))
    }


def _tell_of_conditions(operation: dict[str, Any], responses: dict[str, Any]) -> None:
    tag = {"ETag": _header(f"RFC 9110 section 8.8.3. A list of more than {CHUNK} tasks has none.")}
    for status in responses.keys() & {"200", "201"}:
        responses[status]["headers"] |= tag
    sent = {parameter["name"] for parameter in operation.get("parameters", ())}
    if "cursor" in sent:
        responses["200"]["headers"]["Link"] = _header('`rel="next"`, where there are more tasks (RFC 8288).')
    if "If-None-Match" in sent:
        responses["304"] = {"description": "Not Modified", "headers": tag}


def _bodies(route: APIRoute) -> Iterator[Body[Any]]:
    return (dependency.call for dependency in route.dependant.dependencies if isinstance(dependency.call, Body))


def _add(schemas: dict[str, Any], name: str, fields: TypeAdapter[Any]) -> None:
    schema = fields.json_schema(ref_template=_REF)
    schemas.update(schema.pop("$defs", {}))
    schemas[name] = schema


def _errors(route: APIRoute, body: Body[Any] | None, operation: dict[str, Any]) -> Iterator[int]:
    """Every status, beyond success, that the operation itself answers with; `BodyLimit` refuses before."""
    if not route.path.startswith("/api/"):
        if route.path == "/readyz":
            yield ANSWERS[StorageUnavailable].status
        return
    statuses = {failure: answer.status for failure, answer in ANSWERS.items()}
    yield from (401, 500, ANSWERS[IdentityUnavailable].status)
    if "{user_id}" in route.path:
        statuses |= STATUS_IN_USER_CONTRACT
        yield 403
    yield statuses[StorageUnavailable]
    if "{id}" in route.path:
        yield 404
    if any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", ())):
        yield ANSWERS[TaskChanged].status
    if body is not None:
        yield from (408, 413, 415)
    if body is not None or operation.get("parameters"):
        yield statuses[InvalidValue]


def _error(status: int) -> dict[str, Any]:
    headers = {"X-Request-ID": _header("Names the request in the log.")}
    if status == 401:
        headers["WWW-Authenticate"] = _header("RFC 6750 section 3.")
    if status >= 500:
        headers["Retry-After"] = _header("Seconds after which to try again, where storage or identity was unavailable.")
    schema = {"schema": {"$ref": _REF.format(model="Problem")}}
    return {
        "description": TITLES[status],
        "headers": headers,
        "content": {"application/json": schema, "application/problem+json": schema},
    }


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}
