"""Members of a task that have no meaning here and are kept for its client."""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, ClassVar, Self

from domain.errors import InvalidValue
from domain.values import is_storable

_EXACT = 1e16  # from here on, a whole number is written without exponent and fraction


class Extras(str):
    """A JSON object of 1 to `MOST` members, as text of at most `LARGEST` bytes: compact, in UTF-8, members sorted by
    name.

    Immutable and equal if its members are. Numbers keep their value, not their spelling. No text in it contains NUL or
    an unpaired surrogate, so any database can store it.
    """

    __slots__ = ()
    MOST: ClassVar[int] = 32
    LARGEST: ClassVar[int] = 4096

    def __new__(cls, members: Mapping[str, Any]) -> Self:
        if len(members) > cls.MOST:
            raise InvalidValue("body", f"must not leave more than {cls.MOST} additional members on a task")
        extras = cls._written(_checked(members))
        if len(extras.encode()) > cls.LARGEST:
            raise InvalidValue("body", f"must not leave more than {cls.LARGEST} bytes of additional members on a task")
        return extras

    @classmethod
    def stored(cls, text: str) -> Self:
        """From any spelling of an object that was valid when it was stored."""
        return cls._written(_checked(json.loads(text)))

    def __deepcopy__(self, _memo: object) -> Self:
        return self  # immutable; a copy would be constructed from text instead of members

    @classmethod
    def _written(cls, members: Any) -> Self:
        text = json.dumps(members, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return super().__new__(cls, text)


def merged(extras: Extras | None, changes: Mapping[str, Any]) -> Extras | None:
    """The members after the changes: those that are None are removed, the others added or replaced. None if none is
    left. Raises InvalidValue."""
    members = {**(json.loads(extras) if extras else {}), **changes}
    kept = {name: value for name, value in members.items() if value is not None}
    return Extras(kept) if kept else None


def _checked(value: Any) -> Any:
    """The value in the spelling that a database returns as well. Raises InvalidValue for one that it cannot store."""
    match value:
        case str() if not is_storable(value):
            raise InvalidValue("body", "must not contain NUL or an unpaired surrogate")
        case float() if not isfinite(value):
            raise InvalidValue("body", "must not contain numbers beyond the range of a double")
        case float():
            return int(value) if value.is_integer() and abs(value) >= _EXACT else value + 0.0  # no negative zero
        case list():
            return [_checked(item) for item in value]
        case dict():
            return {_checked(name): _checked(item) for name, item in value.items()}
        case _:
            return value
