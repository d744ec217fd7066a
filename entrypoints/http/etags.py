"""ETags and conditional requests (RFC 9110 sections 8.8.3 and 13.1): optimistic concurrency over HTTP."""

import re
from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Annotated

from fastapi import Depends, Header
from pydantic import WithJsonSchema
from starlette.responses import Response

from domain.errors import InvalidValue
from domain.task import ExpectedVersions, Task

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_OPAQUE = r'"[!#-~\x80-\xff]*"'
_TAG = f"(?:W/)?{_OPAQUE}"
_TAGS = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")
"""A list of entity tags. Empty list members do not count (section 5.6.1.2)."""
_SCHEMA = WithJsonSchema({"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'})


def task_etag(task: Task) -> str:
    """Strong: no two states of a task share their `updated_at`."""
    return f'"{(task.updated_at - _EPOCH) // _MICROSECOND:x}"'


def list_etag(body: bytes) -> str:
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


async def _if_none_match(
    tags: Annotated[
        list[str] | None,
        WithJsonSchema({"type": "string"}),
        Header(alias="If-None-Match", description="ETags the client holds. 304 if one of them is current."),
    ] = None,
) -> str | None:
    return None if tags is None else ", ".join(tags)  # several lines are one list (RFC 9110 section 5.3)


IfNoneMatch = Annotated[str | None, Depends(_if_none_match)]
"""For reads: the `If-None-Match` field as it was sent."""


def or_not_modified(response: Response, if_none_match: str | None) -> Response:
    """The response, or 304 if the client holds exactly this."""
    if if_none_match is None or not _names(if_none_match, response.headers.get("ETag")):
        return response
    kept = {name: value for name, value in response.headers.items() if name in ("etag", "cache-control", "link")}
    return Response(status_code=304, headers=kept)


def _names(tags: str, tag: str | None) -> bool:
    """By weak comparison. A malformed list names nothing."""
    return tags.strip() == "*" or (bool(_TAGS.fullmatch(tags)) and tag in re.findall(r'"[^"]*"', tags))


async def _if_match(
    tags: Annotated[
        list[str] | None,
        _SCHEMA,
        Header(alias="If-Match", description="ETags of the list. 412 if none is current."),
    ] = None,
) -> Container[str] | None:
    """Raises InvalidValue."""
    field = "*" if tags is None else ", ".join(tags)
    if field.strip() == "*":
        return None
    return [tag for tag in re.findall(_TAG, _checked("If-Match", field)) if not tag.startswith("W/")]


IfMatch = Annotated[Container[str] | None, Depends(_if_match)]
"""For a change of a whole list: its expected ETags; None for any. A weak tag names none (strong comparison)."""


async def _preconditions(
    if_match: Annotated[
        list[str] | None,
        _SCHEMA,
        Header(alias="If-Match", description="ETags of the versions that may be changed. 412 if none is current."),
    ] = None,
    if_none_match: Annotated[
        list[str] | None,
        _SCHEMA,
        Header(alias="If-None-Match", description="ETags of versions that must not be changed. 412 if one is current."),
    ] = None,
) -> ExpectedVersions:
    expected = None if if_match is None else _versions("If-Match", ", ".join(if_match))
    if if_none_match is None:
        return expected
    return _Unless(_versions("If-None-Match", ", ".join(if_none_match), weak=True), expected)


Preconditions = Annotated[ExpectedVersions, Depends(_preconditions)]
"""For writes: the versions in which the task may be changed. A weak tag in If-Match names none (strong comparison)."""


def _versions(field: str, tags: str, *, weak: bool = False) -> Container[datetime] | None:
    """The versions that the field names; None for `*`, which names all. Raises InvalidValue."""
    if tags.strip() == "*":
        return None
    strong = r'"([1-9a-f][0-9a-f]{0,13})"'
    found = re.findall(strong if weak else f"(?<!W/){strong}", _checked(field, tags))
    return [_EPOCH + int(tag, 16) * _MICROSECOND for tag in found]


def _checked(field: str, tags: str) -> str:
    if not _TAGS.fullmatch(tags):
        raise InvalidValue(field, "must be `*` or a comma-separated list of entity tags in double quotes")
    return tags


@dataclass(frozen=True, slots=True)
class _Unless:
    """The expected versions, without some. None stands for all versions."""

    unwanted: Container[datetime] | None
    expected: Container[datetime] | None

    def __contains__(self, version: object) -> bool:
        wanted = self.unwanted is not None and version not in self.unwanted
        return wanted and (self.expected is None or version in self.expected)
