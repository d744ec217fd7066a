"""Where the next page of a list begins, in a form that a client can only hand back."""

import base64
import binascii
from datetime import datetime
from hashlib import blake2b
from hmac import compare_digest

import orjson

from domain.errors import InvalidValue
from domain.listing import Position, Selection, Sort
from domain.values import TaskId, Title, UserId

_SEAL_BYTES = 16


class Cursors:
    """Sealed with a key, for one owner and one selection. Processes with the same key read each other's.

    The seal keeps out mistakes: a cursor opens nothing that its reader may not see anyway.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def write(self, place: Position, owner: UserId, selection: Selection) -> str:
        body = orjson.dumps([place.value, place.id])
        return _text(self._seal(body, owner, selection) + body)

    def read(self, text: str, owner: UserId, selection: Selection) -> Position:
        """Raises InvalidValue for what was not written here, or for another owner or selection."""
        sealed = _bytes(text)
        body = sealed[_SEAL_BYTES:]
        place = None
        if compare_digest(sealed[:_SEAL_BYTES], self._seal(body, owner, selection)):
            place = _place(body, selection.sort)
        if place is None:
            raise InvalidValue("cursor", "must be the one that came with the page before, for the same list")
        return place

    def _seal(self, body: bytes, owner: UserId, selection: Selection) -> bytes:
        about = [owner, selection.completed, selection.search, selection.sort.value, selection.descending]
        return blake2b(orjson.dumps(about) + body, key=self._key, digest_size=_SEAL_BYTES).digest()


def _place(body: bytes, sort: Sort) -> Position | None:
    """Parsed although it was sealed: where the database has no password, anybody can make the seal."""
    try:
        value, task_id = orjson.loads(body)
        match sort:
            case Sort.CREATED:
                return Position(None, TaskId(task_id))
            case Sort.UPDATED:
                time = datetime.fromisoformat(value)
                return Position(time, TaskId(task_id)) if time.tzinfo else None
            case Sort.TITLE:
                return Position(Title(value), TaskId(task_id))
    except (ValueError, TypeError):
        return None


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Nothing, where the text is not spelled as `_text` spells it."""
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return b""
    return sealed if _text(sealed) == text else b""
