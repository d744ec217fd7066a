"""The JSON of a task, coming in and going out, and the parameters in its address."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

import orjson
from fastapi import Path, Query, Request
from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    PlainValidator,
    Strict,
    StrictBool,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema
from starlette.responses import Response
from typing_extensions import TypedDict

from domain.errors import InvalidValue
from domain.task import Task
from domain.values import TaskId


def _schema_of_text(value: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    limits = {"minLength": value.SHORTEST, "maxLength": value.LONGEST}
    text = handler.generate_schema(Annotated[str, Strict(), Field(json_schema_extra=limits)])
    return core_schema.no_info_after_validator_function(value, text)


TEXT = GetPydanticSchema(_schema_of_text)
"""Marks a field that holds one of the domain's texts: the domain parses it and says how long it may be."""

Status = Literal["complete", "incomplete"]


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
    return Response(orjson.dumps(_json(task), option=orjson.OPT_UTC_Z), media_type="application/json")


def all_of(tasks: Iterable[Task]) -> Response:
    return Response(
        orjson.dumps([_json(task) for task in tasks], option=orjson.OPT_UTC_Z), media_type="application/json"
    )


def created(task: Task, request: Request) -> Response:
    """201, with the address of the task, percent-encoded whatever the user id in it looks like."""
    response = one(task)
    response.status_code = 201
    response.headers["Location"] = f"{quote(request.scope['path'])}/{task.id}"
    return response


def _task_id(text: str) -> TaskId:
    """Digits as a program writes them: no sign, no blank, no leading zero, no other script's."""
    if not re.fullmatch("[1-9][0-9]{0,15}", text):
        raise InvalidValue("id", f"must be a whole number from 1 to {TaskId.LARGEST}")
    return TaskId(int(text))


Id = Annotated[
    TaskId,
    PlainValidator(_task_id),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": TaskId.LARGEST}),
    Path(alias="id", examples=[7]),
]


_FLAGS = {"true": True, "false": False}
_STATUSES = {
    "all": None,
    "pending": False,
    "active": False,
    "incomplete": False,
    "complete": True,
    "completed": True,
}


def _one_of(field: str, meanings: Mapping[str, bool | None]) -> PlainValidator:
    """What one of a few words means, in any case."""

    def parse(text: str) -> bool | None:
        if text.lower() not in meanings:
            raise InvalidValue(field, f"must be one of: {', '.join(meanings)}")
        return meanings[text.lower()]

    return PlainValidator(parse)


async def wanted(
    completed: Annotated[
        bool | None,
        _one_of("completed", _FLAGS),
        WithJsonSchema({"type": "string", "enum": [*_FLAGS]}),
        Query(description="Only tasks that are, or are not, done."),
    ] = None,
    status: Annotated[
        bool | None,
        _one_of("status", _STATUSES),
        WithJsonSchema({"type": "string", "enum": [*_STATUSES]}),
        Query(description="The same in words, in any case."),
    ] = None,
) -> bool | None:
    """A dependency: which tasks of a list are asked for. None: all."""
    if completed is not None and status is not None and completed != status:
        raise InvalidValue("status", "must agree with completed")
    return status if completed is None else completed
