"""Values that are valid by construction. They subclass `str` and `int`, so nothing ever unwraps them."""

from datetime import timedelta
from typing import ClassVar, Self

from domain.errors import InvalidValue


class Text(str):
    """`SHORTEST` to `LONGEST` Unicode code points that any database can store: no NUL, no unpaired surrogate."""

    __slots__ = ()
    FIELD: ClassVar[str]
    SHORTEST: ClassVar[int]
    LONGEST: ClassVar[int]

    def __new__(cls, text: str) -> Self:
        if not cls.SHORTEST <= len(text) <= cls.LONGEST:
            raise InvalidValue(cls.FIELD, f"must have {cls.SHORTEST} to {cls.LONGEST} characters")
        if not is_storable(text):
            raise InvalidValue(cls.FIELD, "must not contain NUL or an unpaired surrogate")
        return super().__new__(cls, text)


def is_storable(text: str) -> bool:
    """Whether it contains neither NUL nor an unpaired surrogate."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Title(Text):
    """What needs doing, in one line. Surrounding whitespace is stripped before the length is checked."""

    __slots__ = ()
    FIELD = "title"
    SHORTEST, LONGEST = 1, 255

    def __new__(cls, text: str) -> Self:
        return super().__new__(cls, text.strip())


class Description(Text):
    """Further detail, kept exactly as sent. May be empty."""

    __slots__ = ()
    FIELD = "description"
    SHORTEST, LONGEST = 0, 5000


class UserId(Text):
    """A user's id exactly as the identity provider spells it: every character and its case counts.

    An id of another provider than the usual one is the pair of provider and id, so two providers never share a user: no
    id contains the separator.
    """

    __slots__ = ()
    FIELD = "user_id"
    SHORTEST, LONGEST = 1, 255
    SEPARATOR: ClassVar[str] = "\x1f"

    def __new__(cls, spelled: str, provider: str | None = None) -> Self:
        if cls.SEPARATOR in spelled:
            raise InvalidValue(cls.FIELD, "must not contain U+001F")
        user_id = super().__new__(cls, spelled)
        return user_id if provider is None else super().__new__(cls, f"{provider}{cls.SEPARATOR}{spelled}")


def as_spelled(user_id: str) -> str:
    """The user's id as the identity provider spells it, and as the user's own frontend knows it."""
    return user_id.rpartition(UserId.SEPARATOR)[2]


class TaskId(int):
    """1 to 2**53 - 1: the integers that a JavaScript number represents exactly."""

    __slots__ = ()
    LARGEST: ClassVar[int] = 2**53 - 1

    def __new__(cls, number: int) -> Self:
        if not 1 <= number <= cls.LARGEST:
            raise InvalidValue("id", f"must be a whole number from 1 to {cls.LARGEST}")
        return super().__new__(cls, number)


class IdempotencyKey(Text):
    """Chosen by the client for one creation and sent again with every retry of it."""

    __slots__ = ()
    FIELD = "idempotency_key"
    SHORTEST, LONGEST = 1, 255
    LIFETIME: ClassVar[timedelta] = timedelta(hours=24)
    """How long a key is remembered."""
