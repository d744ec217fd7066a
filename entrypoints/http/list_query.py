"""The query of a list: filters, order and page."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from fastapi import Depends, Query, Request

from domain.errors import InvalidValue
from domain.listing import ALL, Position, Selection, Sort
from domain.search import SearchText
from entrypoints.http import cursors
from entrypoints.http.parameters import one_of, text, whole_number

LARGEST_PAGE = 200  # tasks


class Order(Enum):
    ASCENDING = "asc"
    DESCENDING = "desc"


_COMPLETED = {"true": True, "false": False}
_STATUS = {"all": None, "pending": False, "active": False, "incomplete": False, "complete": True, "completed": True}
_SORT = {sort.value: sort for sort in Sort}
_ORDER = {order.value: order for order in Order}


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Without a limit: all tasks of the selection (after the position) in one response."""

    selection: Selection = ALL
    limit: int | None = None
    after: Position | None = None


_EVERYTHING = ListQuery()


async def _list_query(
    request: Request,
    completed: Annotated[
        bool | None,
        one_of("completed", _COMPLETED),
        Query(description="Only tasks that are, or are not, completed."),
    ] = None,
    status: Annotated[
        bool | None,
        one_of("status", _STATUS),
        Query(description="The same filter in words, in any case."),
    ] = None,
    search: Annotated[
        SearchText | None,
        text(SearchText),
        Query(description="Only tasks whose title or description contains this text, in any case."),
    ] = None,
    sort: Annotated[
        Sort,
        one_of("sort", _SORT, empty_means=Sort.CREATED),
        Query(description="Sort key. Titles sort by code point."),
    ] = Sort.CREATED,
    order: Annotated[
        Order, one_of("order", _ORDER, empty_means=Order.ASCENDING), Query(description="Sort order.")
    ] = Order.ASCENDING,
    limit: Annotated[
        int | None,
        whole_number("limit", LARGEST_PAGE, empty_is_absent=True),
        Query(description="Page size. The `Link` header points to the next page. Omit to get all tasks."),
    ] = None,
    cursor: Annotated[
        str | None,
        Query(description="Start of the page, from the previous page's `Link`. Keep all other parameters."),
    ] = None,
) -> ListQuery:
    """Empty parameters count as absent (HTML forms send them), except the filters. Raises InvalidValue."""
    if not request.scope["query_string"]:
        return _EVERYTHING
    selection = Selection(_filter(completed, status), search, sort, order is Order.DESCENDING)
    return ListQuery(selection, limit, cursors.read(cursor, selection) if cursor else None)


Listing = Annotated[ListQuery, Depends(_list_query)]


def _filter(completed: bool | None, status: bool | None) -> bool | None:
    if completed is None or status is None:
        return status if completed is None else completed
    if completed is not status:
        raise InvalidValue("status", "must agree with completed")
    return completed
