"""What of a list is asked for: which tasks, in which order, and how many at a time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Depends, Query, Request
from pydantic import WithJsonSchema
from starlette.responses import Response

from application.todo_list import TodoList
from domain.errors import InvalidValue
from domain.listing import ALL, Selection, Sort
from domain.search import SearchText
from entrypoints.http.cursors import Cursors
from entrypoints.http.etags import unless_known
from entrypoints.http.representation import all_of, several

LONGEST_PAGE = 200  # tasks

_FLAGS = {"true": True, "false": False}
_STATUSES = {
    "all": None,
    "pending": False,
    "active": False,
    "incomplete": False,
    "complete": True,
    "completed": True,
}
_SORTS = {sort.value: sort for sort in Sort}
_ORDERS = {"asc": False, "desc": True}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing:
    """What the query asks for. Without a limit: everything (after the cursor) at once."""

    selection: Selection = ALL
    limit: int | None = None
    cursor: str | None = None


_EVERYTHING = Listing()


def _meaning(field: str, text: str | None, meanings: Mapping[str, T]) -> T | None:
    """What the word stands for, in any case; None where it was not sent. Raises InvalidValue for another word."""
    if text is None:
        return None
    if text.lower() not in meanings:
        raise InvalidValue(field, f"must be one of: {', '.join(meanings)}")
    return meanings[text.lower()]


def _completed(completed: str | None, status: str | None) -> bool | None:
    flag, word = _meaning("completed", completed, _FLAGS), _meaning("status", status, _STATUSES)
    if flag is not None and word is not None and flag != word:
        raise InvalidValue("status", "must agree with completed")
    return word if flag is None else flag


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[1-9][0-9]{0,2}", text) or int(text) > LONGEST_PAGE:
        raise InvalidValue("limit", f"must be a whole number from 1 to {LONGEST_PAGE}")
    return int(text)


def _asked(
    request: Request,
    completed: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "enum": [*_FLAGS]}),
        Query(description="Only tasks that are, or are not, done."),
    ] = None,
    status: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "enum": [*_STATUSES]}),
        Query(description="The same in words, in any case."),
    ] = None,
    search: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "maxLength": SearchText.LONGEST, "pattern": r"^[^\u0000]*$"}),
        Query(description="Only tasks whose title or description holds this text, in any case."),
    ] = None,
    sort: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "enum": [*_SORTS], "default": "created"}),
        Query(description="What to sort by. Titles are sorted by code point."),
    ] = None,
    order: Annotated[
        str | None, WithJsonSchema({"type": "string", "enum": [*_ORDERS], "default": "asc"}), Query()
    ] = None,
    limit: Annotated[
        str | None,
        WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE}),
        Query(description="At most so many tasks. `Link` then leads to the next page. Without: all."),
    ] = None,
    cursor: Annotated[
        str | None,
        Query(description="Where to begin: from the `Link` of the page before, whose other parameters must stay."),
    ] = None,
) -> Listing:
    """An empty parameter is none, as an empty field of a form sends it; an empty filter is wrong in both contracts."""
    if not request.scope["query_string"]:
        return _EVERYTHING
    selection = Selection(
        completed=_completed(completed, status),
        search=SearchText(search) if search else None,
        sort=_meaning("sort", sort or None, _SORTS) or Sort.CREATED,
        descending=_meaning("order", order or None, _ORDERS) or False,
    )
    return Listing(selection, _limit(limit or None), cursor or None)


Asked = Annotated[Listing, Depends(_asked)]


async def answer(todo: TodoList, asked: Listing, request: Request, known: str | None) -> Response:
    """The list, or the page with a `Link` to the next (RFC 8288), or 304. Raises InvalidValue for a wrong cursor."""
    cursors: Cursors = request.app.state.cursors
    after = None if asked.cursor is None else cursors.read(asked.cursor, todo.owner, asked.selection)
    if asked.limit is None:
        return unless_known(await all_of(todo.list(asked.selection, after=after)), known)
    tasks, end = await todo.page(asked.selection, after=after, limit=asked.limit)
    response = several(tasks, more=end is not None)
    if end is not None:
        response.headers["Link"] = _next(request, cursors.write(end, todo.owner, asked.selection))
    return unless_known(response, known)


def _next(request: Request, cursor: str) -> str:
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f'<{quote(request.scope["path"])}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'
