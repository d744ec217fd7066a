"""DIALECT=words: other names and words for `completed`, in requests and responses."""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import GetPydanticSchema, StrictBool
from pydantic_core import core_schema
from typing_extensions import TypedDict, get_type_hints

from domain.errors import InvalidValue
from domain.task import Changes, Draft, Task
from entrypoints.http.list_query import STATUS
from entrypoints.http.representation import OURS, TaskBody, changes, draft, task_json

_UNFINISHED = ("todo", "open", "not_started", "not-started", "in_progress", "in-progress")

FILTER = {**STATUS, **dict.fromkeys(_UNFINISHED, False), "done": True}
"""What the words of the filter `status` mean; None for all tasks."""

_STATUS = {word: completed for word, completed in FILTER.items() if completed is not None}
_FLAGS = ("completed", "is_completed", "is_complete", "isCompleted", "isComplete", "done")

NAMES = OURS.union(_FLAGS)
"""Names of members that are none of a client's own."""

_SHOWN = {
    True: b',"is_completed":true,"is_complete":true}',
    False: b',"is_completed":false,"is_complete":false}',
}


class TaskInWords(TaskBody):
    """A task, with two more names for `completed`."""

    is_completed: bool
    is_complete: bool


def task_in_words(task: Task) -> bytes:
    return task_json(task)[:-1] + _SHOWN[task.completed]


def array_in_words(tasks: Sequence[Task]) -> bytes:
    return b"[" + b",".join(map(task_in_words, tasks)) + b"]"


def _meaning(word: str) -> bool:
    if word.lower() not in _STATUS:
        raise InvalidValue("status", f"must be one of: {', '.join(_STATUS)}")
    return _STATUS[word.lower()]


_Word = Annotated[
    bool,
    GetPydanticSchema(
        lambda _type, _handler: core_schema.no_info_after_validator_function(
            _meaning, core_schema.str_schema(strict=True)
        ),
        lambda _schema, _handler: {"type": "string", "enum": [*_STATUS]},
    ),
]


def in_words(model: Any) -> type:
    """The model of a body, a TypedDict, with all names and words for `completed`."""
    views = {**dict.fromkeys(_FLAGS, StrictBool), "status": _Word}
    hints = {**get_type_hints(model, include_extras=True), **views}
    required = model.__required_keys__
    members = {name: hint if name in required else NotRequired[hint] for name, hint in hints.items()}
    return TypedDict(model.__name__, members)  # type: ignore[operator, no-any-return]


def draft_in_words(**members: Any) -> Draft:
    return draft(**_in_two_views(members))


def changes_in_words(**members: Any) -> Changes:
    return changes(**_in_two_views(members))


def _in_two_views(members: dict[str, Any]) -> dict[str, Any]:
    """All names of `completed` as the two that the contracts have, which disagree if any of these do."""
    sent = {members.pop(name) for name in (*_FLAGS, "status") if name in members}
    if sent:
        members |= {"completed": True in sent, "status": "incomplete" if False in sent else "complete"}
    return members


def add_variants(router: APIRouter) -> None:
    """Other names and methods of completing, and every path with a slash at its end. Not in the OpenAPI document."""
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    for route in routes:
        path, methods = route.path.removeprefix(router.prefix), sorted(route.methods or ())
        paths = [f"{path}/"]
        if path.endswith("/complete"):
            methods = ["PATCH", "POST", "PUT"]
            paths = [f"/{{id}}/{name}{slash}" for name in ("complete", "toggle", "status") for slash in ("", "/")]
        for variant in paths:
            router.add_api_route(variant, route.endpoint, methods=methods, include_in_schema=False)
