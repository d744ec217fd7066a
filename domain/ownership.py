"""The one rule about people: everybody acts as themselves."""

from domain.errors import NotYours
from domain.values import UserId


def acting_as(claimed: str, *, caller: UserId) -> UserId:
    """The caller, if the claimed user id is exactly theirs. Raises NotYours otherwise."""
    if claimed != caller:
        raise NotYours
    return caller
