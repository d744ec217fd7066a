"""The one rule about people: everybody acts as themselves."""

from domain.errors import NotYours
from domain.values import UserId


def acting_as(claimed: str, *, caller: UserId) -> UserId:
    """The caller, if that is who was claimed, to the letter; NotYours otherwise."""
    if claimed != caller:
        raise NotYours
    return caller
