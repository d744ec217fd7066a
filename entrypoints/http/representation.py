"""A task in JSON, coming in and going out, and what a request says of it outside: its id, its idempotency key."""

import re
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

import orjson
from fastapi import Depends, Header, Path, Request
from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    Strict,
    StrictBool,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema
from starlette.responses import Response, StreamingResponse
from typing_extensions import TypedDict

from domain.errors import InvalidValue
from domain.task import Task
from domain.values import IdempotencyKey, TaskId
from entrypoints.http.etags import tag_of_list, tag_of_task

_STORABLE = r"^[^\u0000]*$"
_VISIBLE = r"^[^\u0000]*[^\s\u0000\u001c-\u001f\u0085][^\u0000]*$"  # at least one character that strip() would keep


def _schema_of_text(value: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    pattern = _VISIBLE if value.SHORTEST else _STORABLE
    limits = {"minLength": value.SHORTEST, "maxLength": value.LONGEST, "pattern": pattern}
    text = handler.generate_schema(Annotated[str, Strict(), Field(json_schema_extra=limits)])
    return core_schema.no_info_after_validator_function(value, text)


TEXT = GetPydanticSchema(_schema_of_text)
"""Marks a field that holds one of the domain's texts: the domain parses it and says how long it may be."""

Status = Literal["complete", "incomplete"]

_PRIVATE = {"Cache-Control": "private, no-cache"}  # a copy may be kept, and has to be asked about


class Completion(TypedDict, total=False):
    """Whether a task is done, in either way of saying so."""

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
        datetime, Field(description="Later after every change.", examples=["2026-01-04T09:30:00.123456Z"])
    ]


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


def one(task: Task) -> Response:
    return _response(orjson.dumps(_json(task), option=orjson.OPT_UTC_Z), tag_of_task(task))


def several(tasks: Sequence[Task], *, more: bool = False) -> Response:
    """`more`: there is a next page, which the ETag has to tell too."""
    body = _array(tasks)
    return _response(body, tag_of_list(body + b"," if more else body))


async def all_of(pages: AsyncIterator[Sequence[Task]]) -> Response:
    """One array. What does not fit on a page is sent while it is read, so that a list of any length takes little room,
    but has no ETag: that would have to be known before.

    If the rest cannot be read any more, the connection is closed before the array is: nobody takes a part for all.
    """
    first = await anext(pages)
    second = await anext(pages, None)
    if not second:
        return several(first)
    begun = [_array(first)[:-1], b"," + _array(second)[1:-1]]
    return StreamingResponse(_pieces(begun, pages), media_type="application/json", headers=_PRIVATE)


async def _pieces(begun: list[bytes], pages: AsyncIterator[Sequence[Task]]) -> AsyncIterator[bytes]:
    """Keeps nothing that was sent: its reader may be slow."""
    while begun:
        yield begun.pop(0)
    async for page in pages:
        if page:
            yield b"," + _array(page)[1:-1]
    yield b"]"


def _response(body: bytes, tag: str) -> Response:
    return Response(body, headers={**_PRIVATE, "ETag": tag}, media_type="application/json")


def _array(tasks: Iterable[Task]) -> bytes:
    return orjson.dumps([_json(task) for task in tasks], option=orjson.OPT_UTC_Z)


def created(task: Task, request: Request) -> Response:
    """201, with the address of the task, percent-encoded whatever the user id in it looks like."""
    response = one(task)
    response.status_code = 201
    response.headers["Location"] = f"{quote(request.scope['path'])}/{task.id}"
    return response


_AN_ID = re.compile("[1-9][0-9]{0,15}")
_VISIBLE_ASCII = re.compile("[!-~]+")


def _task_id(
    text: Annotated[
        str,
        WithJsonSchema({"type": "integer", "minimum": 1, "maximum": TaskId.LARGEST}),
        Path(alias="id", examples=[7]),
    ],
) -> TaskId:
    """Digits as a program writes them: no sign, no blank, no leading zero, no other script's."""
    if not _AN_ID.fullmatch(text):
        raise InvalidValue("id", f"must be a whole number from 1 to {TaskId.LARGEST}")
    return TaskId(int(text))


Id = Annotated[TaskId, Depends(_task_id)]


def _key(
    key: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "minLength": 1, "maxLength": IdempotencyKey.LONGEST, "pattern": "^[!-~]*$"}),
        Header(alias="Idempotency-Key", description="Made up for this task: with it the request may be repeated."),
    ] = None,
) -> IdempotencyKey | None:
    if key is not None and not _VISIBLE_ASCII.fullmatch(key):
        raise InvalidValue("Idempotency-Key", "must be visible ASCII characters without blanks")
    if key is not None and len(key) > IdempotencyKey.LONGEST:
        raise InvalidValue("Idempotency-Key", f"must have 1 to {IdempotencyKey.LONGEST} characters")
    return None if key is None else IdempotencyKey(key)


Key = Annotated[IdempotencyKey | None, Depends(_key)]
