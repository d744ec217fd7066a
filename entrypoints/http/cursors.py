"""Cursors of keyset pagination: a position in a list, and the query that the position belongs to.

Readable and not signed: a cursor opens nothing that its holder may not list anyway. The query in it keeps a client from
continuing a list with another filter or order, which would skip or repeat tasks.
"""

import base64
from datetime import UTC, datetime
from types import NoneType
from typing import TypeVar

import orjson

from domain.errors import InvalidValue
from domain.listing import Position, Selection, Sort
from domain.values import TaskId, Title

T = TypeVar("T")


def write(position: Position, selection: Selection) -> str:
    body = orjson.dumps([*_query(selection), *position])
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def read(text: str, selection: Selection) -> Position:
    """Raises InvalidValue unless the cursor was written for this selection."""
    try:
        *query, value, task_id = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        if query == _query(selection):
            return Position(_value(value, selection.sort), TaskId(_of(int, task_id)))
    except (ValueError, TypeError, OverflowError):
        pass
    raise InvalidValue("cursor", "must be the cursor of a previous page of the same list")


def _query(selection: Selection) -> list[object]:
    return [selection.completed, selection.search, selection.sort.value, selection.descending]


def _value(value: object, sort: Sort) -> datetime | str | None:
    """The sort key. Raises ValueError, TypeError or OverflowError for one that no task can have."""
    match sort:
        case Sort.CREATED:
            return _of(NoneType, value)
        case Sort.UPDATED:
            time = datetime.fromisoformat(_of(str, value))
            if time.tzinfo is None:
                raise ValueError
            return time.astimezone(UTC)  # Python knows offsets that PostgreSQL refuses
        case Sort.TITLE:
            return Title(_of(str, value))


def _of(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError
    return value
