"""Requests that depend on what the client has seen (RFC 9110 sections 8.8.3 and 13.1)."""

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated

from fastapi import Depends, Header
from pydantic import WithJsonSchema
from starlette.responses import Response

from domain.errors import InvalidValue
from domain.task import Task

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TAG = r'(?:W/)?"[!#-~\x80-\xff]*"'
_TAGS = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")
"""A list of them. Empty members do not count (section 5.6.1.2)."""


def tag_of_task(task: Task) -> str:
    """Strong: no two states of a task share their `updated_at`."""
    return f'"{(task.updated_at - _EPOCH) // _MICROSECOND:x}"'


def tag_of_list(body: bytes) -> str:
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def _known(
    if_none_match: Annotated[
        str | None, Header(alias="If-None-Match", description="ETags of what the client has: if it still holds, 304.")
    ] = None,
) -> str | None:
    return if_none_match


Known = Annotated[str | None, Depends(_known)]
"""The ETags of what the client has, as it sent them."""


def unless_known(response: Response, known: str | None) -> Response:
    """304 instead, where the client has just that."""
    if known is None or not _names(known, response.headers.get("ETag")):
        return response
    kept = {name: value for name, value in response.headers.items() if name in ("etag", "cache-control", "link")}
    return Response(status_code=304, headers=kept)


def _names(known: str, tag: str | None) -> bool:
    """By weak comparison. What is no list of tags names nothing."""
    return known.strip() == "*" or (bool(_TAGS.fullmatch(known)) and tag in re.findall(r'"[^"]*"', known))


def _seen(
    if_match: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'}),
        Header(alias="If-Match", description="ETags of the states in which the task may be changed. Otherwise: 412."),
    ] = None,
) -> Collection[datetime] | None:
    if if_match is None or if_match.strip() == "*":
        return None
    if not _TAGS.fullmatch(if_match):
        raise InvalidValue("If-Match", "must be `*` or entity tags in double quotes, with commas between")
    return [_EPOCH + int(tag, 16) * _MICROSECOND for tag in re.findall(r'(?<!W/)"([1-9a-f][0-9a-f]{0,13})"', if_match)]


Seen = Annotated[Collection[datetime] | None, Depends(_seen)]
"""The states of the task that the client has seen, by their `updated_at`. None: any will do."""
