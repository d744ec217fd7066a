"""A task in JSON, incoming and outgoing, and the responses that carry tasks."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from urllib.parse import quote, urlencode

import orjson
from fastapi import Request
from pydantic import (
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    Strict,
    StrictBool,
)
from pydantic_core import CoreSchema, core_schema
from starlette.responses import Response, StreamingResponse
from typing_extensions import TypedDict

from application.todo_list import TodoList
from domain.errors import InvalidValue
from domain.task import Changes, Draft, Task
from domain.values import TaskId
from entrypoints.http import cursors
from entrypoints.http.etags import list_etag, or_not_modified, task_etag
from entrypoints.http.list_query import ListQuery

_STORABLE = r"^[^\u0000]*$"
_VISIBLE = r"^[^\u0000]*[^\s\u0000\u001c-\u001f\u0085][^\u0000]*$"  # at least one character that strip() would keep


def _schema_of_text(value: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    pattern = _VISIBLE if value.SHORTEST else _STORABLE
    limits = {"minLength": value.SHORTEST, "maxLength": value.LONGEST, "pattern": pattern}
    string = handler.generate_schema(Annotated[str, Strict(), Field(json_schema_extra=limits)])
    return core_schema.no_info_after_validator_function(value, string)


TEXT = GetPydanticSchema(_schema_of_text)
"""Marks a member that holds one of the domain's texts: the domain parses it, and its limits become the schema's."""

Status = Literal["complete", "incomplete"]

AGREEING = ConfigDict(
    json_schema_extra={
        "not": {
            "anyOf": [
                {
                    "properties": {"completed": {"const": completed}, "status": {"const": status}},
                    "required": ["completed", "status"],
                }
                for completed, status in ((True, "incomplete"), (False, "complete"))
            ]
        }
    }
)
"""For models of request bodies: `completed` and `status` must not contradict each other."""


NEW_EXAMPLE = {"title": "Buy milk", "description": "Two litres"}
CHANGES_EXAMPLE = {"title": "Buy oat milk"}
COMPLETION_EXAMPLE = {"completed": True}


class Completion(TypedDict, total=False):
    """Whether a task is completed, as a flag or in words."""

    __pydantic_config__ = AGREEING  # type: ignore[misc]

    completed: Annotated[StrictBool, Field(examples=[True])]
    status: Annotated[
        Status,
        Field(description="`completed` in words. If both are sent they must agree.", examples=["complete"]),
    ]


class TaskBody(TypedDict):
    """A task."""

    id: Annotated[int, Field(ge=1, le=TaskId.LARGEST, examples=[7])]
    user_id: Annotated[str, Field(examples=["u1"])]
    title: Annotated[str, Field(examples=["Buy milk"])]
    description: Annotated[str | None, Field(examples=["Two litres"])]
    completed: Annotated[bool, Field(examples=[False])]
    status: Annotated[Status, Field(description="`completed` in words.", examples=["incomplete"])]
    created_at: Annotated[datetime, Field(examples=["2026-01-04T09:30:00.123456Z"])]
    updated_at: Annotated[
        datetime, Field(description="Increases with every change.", examples=["2026-01-04T09:30:00.123456Z"])
    ]


def draft(**members: Any) -> Draft:
    return Draft(**_with_completed(members))


def changes(**members: Any) -> Changes:
    return cast(Changes, _with_completed(members))


def _with_completed(members: dict[str, Any]) -> dict[str, Any]:
    """`status` replaced by `completed`. Raises InvalidValue if they contradict each other."""
    if "status" in members:
        completed = members.pop("status") == "complete"
        if members.setdefault("completed", completed) is not completed:
            raise InvalidValue("status", "must agree with completed")
    return members


def _json(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "user_id": task.user_id,
        "title": task.title,
        "description": task.description,
        "completed": task.completed,
        "status": "complete" if task.completed else "incomplete",
        "created_at": task.created_at,
        "updated_at": task.updated_at,
    }


def _array(tasks: Iterable[Task]) -> bytes:
    return orjson.dumps([_json(task) for task in tasks], option=orjson.OPT_UTC_Z)


_PRIVATE = {"Cache-Control": "private, no-cache"}  # browsers may store a response, and revalidate it each time


_PRIVATE_FIELD = (b"cache-control", _PRIVATE["Cache-Control"].encode())


class _Rendered(Response):
    """JSON that is rendered already, with its ETag. Sets its four headers directly, in a third of the time that
    Starlette's general way takes."""

    def __init__(self, body: bytes, etag: str) -> None:
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [
            _PRIVATE_FIELD,
            (b"etag", etag.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
        ]


def task_response(task: Task) -> Response:
    return _Rendered(orjson.dumps(_json(task), option=orjson.OPT_UTC_Z), task_etag(task))


def created_response(task: Task, request: Request) -> Response:
    """201 with the task's URL, percent-encoded whatever the user id in it contains."""
    response = task_response(task)
    response.status_code = 201
    response.headers["Location"] = f"{quote(request.scope['path'])}/{task.id}"
    return response


async def list_response(todo: TodoList, query: ListQuery, request: Request, if_none_match: str | None) -> Response:
    """The tasks of the list, one page of them with a `Link` to the next (RFC 8288), or 304."""
    if query.limit is None:
        return or_not_modified(await _whole_list(todo.list(query.selection, after=query.after)), if_none_match)
    tasks, end = await todo.page(query.selection, after=query.after, limit=query.limit)
    response = _tasks_response(tasks, more=end is not None)
    if end is not None:
        response.headers["Link"] = _next_page(request, cursors.write(end, query.selection))
    return or_not_modified(response, if_none_match)


def _tasks_response(tasks: Sequence[Task], *, more: bool = False) -> Response:
    """`more`: there is a next page. The ETag depends on it too."""
    body = _array(tasks)
    return _Rendered(body, list_etag(body + b"," if more else body))


def _next_page(request: Request, cursor: str) -> str:
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f'<{quote(request.scope["path"])}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'


async def _whole_list(chunks: AsyncIterator[Sequence[Task]]) -> Response:
    """One array. More than one chunk is streamed while it is read, so that a list of any length needs little memory;
    it has no ETag, which would have to be known before the body.

    If the rest cannot be read, the connection is closed before the array is: no client takes a part for the whole.
    """
    first = await anext(chunks)
    second = await anext(chunks, None)
    if not second:
        return _tasks_response(first)
    start = [_array(first)[:-1], b"," + _array(second)[1:-1]]
    return StreamingResponse(_stream(start, chunks), media_type="application/json", headers=_PRIVATE)


async def _stream(start: list[bytes], chunks: AsyncIterator[Sequence[Task]]) -> AsyncIterator[bytes]:
    """Keeps nothing that was sent: the client may read slowly."""
    while start:
        yield start.pop(0)
    async for chunk in chunks:
        if chunk:
            yield b"," + _array(chunk)[1:-1]
    yield b"]"
