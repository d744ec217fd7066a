"""The one rule about people: everybody acts as themselves."""

from domain.errors import NotYours
from domain.values import UserId, as_spelled


def acting_as(claimed: str, *, caller: UserId) -> UserId:
    """The caller, if the claimed user id is exactly theirs, as their identity provider spells it. Raises NotYours
    otherwise."""
    if claimed != as_spelled(caller):
        raise NotYours
    return caller
