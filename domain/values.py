"""Values that are valid or do not exist. They *are* text and numbers, so nothing ever unwraps them."""

from functools import cache
from typing import ClassVar, Self

from domain.errors import InvalidValue


class _Text(str):
    """`SHORTEST` to `LONGEST` Unicode code points that PostgreSQL can store: no NUL, no lone surrogate."""

    __slots__ = ()
    FIELD: ClassVar[str]
    SHORTEST: ClassVar[int]
    LONGEST: ClassVar[int]

    def __new__(cls, text: str) -> Self:
        if not cls.SHORTEST <= len(text) <= cls.LONGEST:
            raise InvalidValue(cls.FIELD, f"must have {cls.SHORTEST} to {cls.LONGEST} characters")
        if "\0" in text or not _is_unicode(text):
            raise InvalidValue(cls.FIELD, "must not contain NUL or half a surrogate pair")
        return super().__new__(cls, text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Title(_Text):
    """What is to be done, in a line: blanks around it are dropped before it is measured."""

    __slots__ = ()
    FIELD = "title"
    SHORTEST, LONGEST = 1, 255

    def __new__(cls, text: str) -> Self:
        return super().__new__(cls, text.strip())


class Description(_Text):
    """What else is to be known, kept as it came; it may be empty."""

    __slots__ = ()
    FIELD = "description"
    SHORTEST, LONGEST = 0, 5000


class UserId(_Text):
    """Who somebody is, as the identity provider spells it: every character and case counts."""

    __slots__ = ()
    FIELD = "user_id"
    SHORTEST, LONGEST = 1, 255


class TaskId(int):
    """1 to 2**53 - 1: the whole numbers that a browser's number holds exactly."""

    __slots__ = ()
    LARGEST: ClassVar[int] = 2**53 - 1

    def __new__(cls, number: int) -> Self:
        if not 1 <= number <= cls.LARGEST:
            raise InvalidValue("id", f"must be a whole number from 1 to {cls.LARGEST}")
        return super().__new__(cls, number)


class IdempotencyKey(_Text):
    """What a client makes up for one creation, and sends again with every repetition of it."""

    __slots__ = ()
    FIELD = "Idempotency-Key"
    SHORTEST, LONGEST = 1, 255


class SearchText(_Text):
    """What is looked for in titles and descriptions: as it stands, but in any case."""

    __slots__ = ()
    FIELD = "search"
    SHORTEST, LONGEST = 1, 255

    @property
    def pattern(self) -> str:
        """A regular expression that means the same to Python and to PostgreSQL, whatever locale the database has."""
        return "".join(f"[{''.join(map(_escaped, _any_case(character)))}]" for character in self)


def _escaped(character: str) -> str:
    return f"\\U{ord(character):08x}"


def _any_case(character: str) -> str:
    return _cases().get(_lower(character), character)


@cache
def _cases() -> dict[str, str]:
    """The letters that differ only by case, by their lower one, of all scripts up to small Cherokee (below AC00 in
    Unicode). Some have three, such as the Greek sigma."""
    cases: dict[str, str] = {}
    for character in map(chr, range(0xAC00)):
        cases[_lower(character)] = cases.get(_lower(character), "") + character
    return cases


def _lower(character: str) -> str:
    """By way of the upper one, which several may share. What becomes more than one letter stays as it is."""
    for lower in (character.upper().lower(), character.lower()):
        if len(lower) == 1:
            return lower
    return character
