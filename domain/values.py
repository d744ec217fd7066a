"""Values that are valid or do not exist. They *are* text and numbers, so nothing ever unwraps them."""

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
