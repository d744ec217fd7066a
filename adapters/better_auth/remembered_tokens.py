"""Remembers verified and refused tokens, because verifying costs a hundred times as much as a lookup."""

from collections.abc import Callable

from domain.errors import NotAuthenticated
from domain.values import UserId

MAX_REMEMBERED = 4096  # tokens; at most 32 MiB
MAX_REFUSED, REFUSED_SECONDS = 256, 1.0  # remembered refusals; short, because a key may appear, or `nbf` pass


class RememberedTokens:
    """Verified tokens with their users, and refused ones with the reason, keyed by the whole token, until they expire
    or the keys change."""

    def __init__(self, now: Callable[[], float], maximum: int) -> None:
        self._now = now
        self._maximum = maximum
        self._key_version = 0
        self._users: dict[str, tuple[UserId, float]] = {}
        self._refusals: dict[str, tuple[NotAuthenticated, float]] = {}

    def user(self, token: str, key_version: int) -> UserId | None:
        self._clear_if_changed(key_version)
        user, expires = self._users.get(token, (None, 0.0))
        if user is not None and expires <= self._now():
            del self._users[token]
            return None
        return user

    def add(self, token: str, key_version: int, user: UserId, expires: float) -> None:
        self._clear_if_changed(key_version)
        if self._maximum and expires > self._now():  # an expired token within the leeway is verified each time
            if len(self._users) >= self._maximum:
                del self._users[next(iter(self._users))]
            self._users[token] = (user, expires)

    def refuse_again(self, token: str, key_version: int) -> None:
        """Raises what the token was refused with less than a second ago."""
        self._clear_if_changed(key_version)
        refusal, at = self._refusals.get(token, (None, 0.0))
        if refusal is not None and 0 <= self._now() - at < REFUSED_SECONDS:
            raise type(refusal)(*refusal.args)

    def add_refusal(self, token: str, key_version: int, refusal: NotAuthenticated) -> None:
        self._clear_if_changed(key_version)
        if self._maximum:
            self._refusals.pop(token, None)
            if len(self._refusals) >= MAX_REFUSED:
                del self._refusals[next(iter(self._refusals))]
            # A copy that is never raised: one that was keeps the frames of its request alive.
            self._refusals[token] = (type(refusal)(*refusal.args), self._now())

    def _clear_if_changed(self, key_version: int) -> None:
        if key_version != self._key_version:
            self._key_version = key_version
            self._users.clear()
            self._refusals.clear()
