"""Responses that carry tasks."""

from collections.abc import AsyncIterator, Callable, Container, Sequence
from urllib.parse import quote, urlencode

import orjson
from fastapi import Request
from starlette.responses import Response, StreamingResponse

from application.todo_list import CHUNK, TodoList
from domain.errors import ListChanged
from domain.listing import ALL
from domain.task import Task
from entrypoints.http import cursors
from entrypoints.http.etags import list_etag, or_not_modified, task_etag
from entrypoints.http.list_query import ListQuery
from entrypoints.http.representation import array_json, task_json

PRIVATE = {"Cache-Control": "private, no-cache"}  # browsers may store a response, and revalidate it each time


_PRIVATE_FIELD = (b"cache-control", PRIVATE["Cache-Control"].encode())


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


TaskJson = Callable[[Task], bytes]
ArrayJson = Callable[[Sequence[Task]], bytes]


def task_response(task: Task, json: TaskJson = task_json) -> Response:
    return _Rendered(json(task), task_etag(task))


def list_body(body: bytes) -> Response:
    """A whole list that is rendered already."""
    return _Rendered(body, list_etag(body))


def created_response(task: Task, request: Request, json: TaskJson = task_json) -> Response:
    """201 with the task's URL, percent-encoded whatever the user id in it contains."""
    response = task_response(task, json)
    response.status_code = 201
    response.headers["Location"] = f"{quote(request.scope['path'].rstrip('/'))}/{task.id}"
    return response


async def list_response(
    todo: TodoList, query: ListQuery, request: Request, if_none_match: str | None, json: ArrayJson = array_json
) -> Response:
    """The tasks of the list, one page of them with a `Link` to the next (RFC 8288), or 304."""
    after = await todo.position(query.selection, after=query.after, skipped=query.skipped)
    if query.limit is None:
        return or_not_modified(await _whole_list(todo.list(query.selection, after=after), json), if_none_match)
    tasks, end = await todo.page(query.selection, after=after, limit=query.limit)
    response = _tasks_response(tasks, json, more=end is not None)
    if end is not None:
        response.headers["Link"] = _next_page(request, cursors.write(end, query.selection))
    return or_not_modified(response, if_none_match)


def _tasks_response(tasks: Sequence[Task], json: ArrayJson, *, more: bool = False) -> Response:
    """`more`: there is a next page. The ETag depends on it too."""
    body = json(tasks)
    return _Rendered(body, list_etag(body + b"," if more else body))


_PLACE = ("cursor", "offset", "skip")
"""Parameters that say where a page starts."""


def _next_page(request: Request, cursor: str) -> str:
    query = [(name, value) for name, value in request.query_params.multi_items() if name not in _PLACE]
    return f'<{quote(request.scope["path"])}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'


async def delete_all(todo: TodoList, if_match: Container[str] | None, json: ArrayJson = array_json) -> Response:
    """200 with the number of tasks. Raises ListChanged if the whole list, in its default order, has none of the ETags;
    a list that is streamed has no ETag."""
    if if_match is None:
        count = await todo.delete_all()
    else:
        tasks, end = await todo.page(ALL, after=None, limit=CHUNK)
        if end is not None or list_etag(json(tasks)) not in if_match:
            raise ListChanged
        count = await todo.delete_exactly(tasks)
    return Response(orjson.dumps({"count": count}), media_type="application/json")


async def _whole_list(chunks: AsyncIterator[Sequence[Task]], json: ArrayJson) -> Response:
    """One array. More than one chunk is streamed while it is read, so that a list of any length needs little memory;
    it has no ETag, which would have to be known before the body.

    If the rest cannot be read, the connection is closed before the array is: no client takes a part for the whole.
    """
    first = await anext(chunks)
    second = await anext(chunks, None)
    if not second:
        return _tasks_response(first, json)
    start = [json(first)[:-1], b"," + json(second)[1:-1]]
    del first, second
    return StreamingResponse(_stream(start, chunks, json), media_type="application/json", headers=PRIVATE)


async def _stream(start: list[bytes], chunks: AsyncIterator[Sequence[Task]], json: ArrayJson) -> AsyncIterator[bytes]:
    """Keeps nothing that was sent: the client may read slowly. The server sends an empty part when the client has read
    the one before it, so that the next is not read from the database earlier."""
    while start:
        yield start.pop(0)
        yield b""
    async for chunk in chunks:
        if chunk:
            start.append(b"," + json(chunk)[1:-1])
            del chunk
            yield start.pop()
            yield b""
    yield b"]"
