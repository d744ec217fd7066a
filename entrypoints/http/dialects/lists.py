"""DIALECT_LIST=tasks: a list is a member of an object, with its counts. So is a single task, beside its own members."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response, StreamingResponse
from typing_extensions import TypedDict, get_type_hints

from application.todo_list import CHUNK, TodoList
from domain.task import Task
from entrypoints.http.etags import or_not_modified
from entrypoints.http.list_query import ListQuery
from entrypoints.http.responses import PRIVATE, ArrayJson, TaskJson, list_body


def models(task: Any) -> tuple[type, type]:
    """What a response with one task and one with a list hold."""
    one = {**get_type_hints(task, include_extras=True), "task": task}
    several = {"tasks": list[task], "total": int, "count": int, "limit": int, "offset": int}
    return TypedDict("TaskInObject", one), TypedDict("ListInObject", several)  # type: ignore[operator]


def in_object(json: TaskJson) -> TaskJson:
    """For clients that look for the task there, and for those that do not."""

    def both(task: Task) -> bytes:
        body = json(task)
        return body[:-1] + b',"task":' + body + b"}"

    return both


def whole(array: ArrayJson) -> ArrayJson:
    """As `list_response` renders a short list without a query."""
    return lambda tasks: b'{"tasks":' + array(tasks) + _counts(len(tasks), len(tasks), ListQuery())


async def list_response(
    todo: TodoList, query: ListQuery, _request: Request, if_none_match: str | None, array: ArrayJson
) -> Response:
    """One page, or all tasks. The total is the length of the whole list, which is read for it; a long list that is
    shown as a whole is streamed, and has no ETag."""
    chunks = todo.list(query.selection, after=query.after)
    first = await anext(chunks)
    parts = _parts(first, chunks, query, array)
    if query.limit is None and len(first) == CHUNK:
        return StreamingResponse(parts, media_type="application/json", headers=PRIVATE)
    return or_not_modified(list_body(b"".join([part async for part in parts])), if_none_match)


async def _parts(
    chunk: Sequence[Task] | None, chunks: AsyncIterator[Sequence[Task]], query: ListQuery, array: ArrayJson
) -> AsyncIterator[bytes]:
    total, count, start = 0, 0, query.skipped
    yield b'{"tasks":['
    while chunk is not None:
        end = len(chunk) if query.limit is None else max(start + query.limit - total, 0)
        shown = chunk[max(start - total, 0) : end]
        part = ((b"," if count else b"") + array(shown)[1:-1]) if shown else b""
        total, count = total + len(chunk), count + len(shown)
        del chunk, shown
        yield part
        yield b""  # as in `responses`: the next chunk is read when the client has read this one
        chunk = await anext(chunks, None)
    yield b"]" + _counts(total, count, query)


def _counts(total: int, count: int, query: ListQuery) -> bytes:
    """The rest of the object. Without a limit, `limit` is the total: clients divide by it."""
    limit = total if query.limit is None else query.limit
    return b"," + orjson.dumps({"total": total, "count": count, "limit": limit, "offset": query.skipped})[1:]
