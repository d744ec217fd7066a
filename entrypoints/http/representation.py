"""A task in JSON, incoming and outgoing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, cast

import orjson
from pydantic import (
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    Strict,
    StrictBool,
)
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypedDict

from domain.errors import InvalidValue
from domain.extras import merged
from domain.task import Changes, Draft, Task
from domain.values import TaskId, as_spelled

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
"""For models of new tasks: `completed` and `status` must not contradict each other."""


NEW_EXAMPLE = {"title": "Buy milk", "description": "Two litres"}
CHANGES_EXAMPLE = {"title": "Buy oat milk"}
COMPLETION_EXAMPLE = {"completed": True}


class Completion(TypedDict, total=False):
    """Whether a task is completed, as a flag or in words."""

    completed: Annotated[StrictBool, Field(examples=[True])]
    status: Annotated[
        Status,
        Field(
            description="`completed` in words. If both are sent they must agree in a new task; a change takes the one "
            "that differs from what is stored.",
            examples=["complete"],
        ),
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


class Deleted(TypedDict):
    """How many tasks were deleted."""

    count: Annotated[int, Field(ge=0, examples=[3])]


def draft(**members: Any) -> Draft:
    """Raises InvalidValue if `completed` and `status` contradict each other, and for extras beyond their limits."""
    if "status" in members:
        completed = members.pop("status") == "complete"
        if members.setdefault("completed", completed) is not completed:
            raise InvalidValue("status", "must agree with completed")
    if "extras" in members:
        members["extras"] = merged(None, members["extras"])
    return Draft(**members)


def changes(**members: Any) -> Changes:
    """Where `completed` and `status` contradict each other, one of them is as stored: clients send back what they have
    read, with one of the two changed. The other one is meant."""
    if "status" in members:
        completed = members.pop("status") == "complete"
        if members.setdefault("completed", completed) is not completed:
            del members["completed"]
            members["toggled"] = True
    return cast(Changes, members)


OURS = frozenset(TaskBody.__annotations__)
"""Names of members that cannot be additional ones."""


def _members(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "user_id": as_spelled(task.user_id),
        "title": task.title,
        "description": task.description,
        "completed": task.completed,
        "status": "complete" if task.completed else "incomplete",
        "created_at": task.created_at,
        "updated_at": task.updated_at,
    }


def task_json(task: Task) -> bytes:
    body = orjson.dumps(_members(task), option=orjson.OPT_UTC_Z)
    return body if task.extras is None else body[:-1] + b"," + task.extras[1:].encode()


def array_json(tasks: Sequence[Task]) -> bytes:
    if any(task.extras for task in tasks):
        return b"[" + b",".join(map(task_json, tasks)) + b"]"
    return orjson.dumps([_members(task) for task in tasks], option=orjson.OPT_UTC_Z)
