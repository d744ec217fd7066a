"""The query of a list: filters, order and page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from domain.errors import InvalidValue
from domain.listing import ALL, Position, Selection, Sort
from domain.search import SearchText
from entrypoints.http import cursors
from entrypoints.http.parameters import one_of, text, whole_number

LARGEST_PAGE = 200  # tasks
LARGEST_OFFSET = 10_000  # tasks; they are read to be skipped


_COMPLETED = {"true": True, "false": False}
STATUS: Mapping[str, bool | None] = {
    "all": None,
    "pending": False,
    "active": False,
    "incomplete": False,
    "complete": True,
    "completed": True,
}
_SORT = {
    **{sort.value: sort for sort in Sort},
    **dict.fromkeys(("created_at", "createdAt", "due_date", "priority"), Sort.CREATED),
    **dict.fromkeys(("updated_at", "updatedAt"), Sort.UPDATED),
}
_DESCENDING = {"asc": False, "desc": True}
_SYNONYM = Query(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Without a limit: all tasks of the selection (after the position) in one response.

    `skipped`: tasks that are left out after that position.
    """

    selection: Selection = ALL
    limit: int | None = None
    after: Position | None = None
    skipped: int = 0


def listing(*, words: Mapping[str, bool | None] = STATUS, lenient: bool = False, newest_first: bool = False) -> Any:
    """A dependency that parses the query: with these words for `status`.

    `lenient`: an unknown sort key or order is ignored. `newest_first`: so are lists ordered, except by title, where no
    order is sent.
    """
    everything = ListQuery(Selection(descending=newest_first))

    async def list_query(
        request: Request,
        completed: Annotated[
            bool | None,
            one_of("completed", _COMPLETED, type=["boolean", "string"], enum=[True, False, "true", "false"]),
            Query(description="Only tasks that are, or are not, completed."),
        ] = None,
        status: Annotated[
            bool | None,
            one_of("status", words),
            Query(description="The same filter in words, in any case."),
        ] = None,
        search: Annotated[
            SearchText | None,
            text(SearchText),
            Query(description="Only tasks whose title or description contains this text, in any case."),
        ] = None,
        sort: Annotated[
            Sort | None,
            one_of("sort", _SORT, others_are_absent=lenient),
            Query(
                description="Sort key; `created` by default. Titles sort by code point. Tasks have no due date and no "
                "priority: those two sort by creation."
            ),
        ] = None,
        sort_by: Annotated[Sort | None, one_of("sort_by", _SORT, others_are_absent=lenient), _SYNONYM] = None,
        order_by: Annotated[Sort | None, one_of("order_by", _SORT, others_are_absent=lenient), _SYNONYM] = None,
        order: Annotated[
            bool | None,
            one_of("order", _DESCENDING, others_are_absent=lenient),
            Query(description="Sort order; `asc` by default."),
        ] = None,
        sort_order: Annotated[
            bool | None, one_of("sort_order", _DESCENDING, others_are_absent=lenient), _SYNONYM
        ] = None,
        limit: Annotated[
            int | None,
            whole_number("limit", 1, LARGEST_PAGE, empty_is_absent=True),
            Query(description="Page size. The `Link` header points to the next page. Omit to get all tasks."),
        ] = None,
        cursor: Annotated[
            str | None,
            Query(description="Start of the page, from the previous page's `Link`. Keep all other parameters."),
        ] = None,
        offset: Annotated[
            int | None,
            whole_number("offset", 0, LARGEST_OFFSET, empty_is_absent=True),
            Query(description="Tasks to skip. Slower than a cursor, and changes in between shift the pages."),
        ] = None,
        skip: Annotated[int | None, whole_number("skip", 0, LARGEST_OFFSET, empty_is_absent=True), _SYNONYM] = None,
    ) -> ListQuery:
        """Empty parameters count as absent: HTML forms send them. Raises InvalidValue."""
        if not request.scope["query_string"]:
            return everything
        key = sort or sort_by or order_by or Sort.CREATED
        descending = sort_order if order is None else order
        if descending is None:
            descending = newest_first and key is not Sort.TITLE
        selection = Selection(_filter(completed, status), search, key, descending)
        after = cursors.read(cursor, selection) if cursor else None
        skipped = skip if offset is None else offset
        return ListQuery(selection, limit, after, skipped or 0)

    return Depends(list_query)


Listing = Annotated[ListQuery, listing()]


def _filter(completed: bool | None, status: bool | None) -> bool | None:
    if completed is None or status is None:
        return status if completed is None else completed
    if completed is not status:
        raise InvalidValue("status", "must agree with completed")
    return completed
