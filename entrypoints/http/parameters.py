"""Rules for parameters of the path, the query and the headers: each is a parser and its JSON schema in one.

A rule goes into the annotation of a FastAPI parameter, beside `Path()`, `Query()` or `Header()`. What its parser raises
as InvalidValue becomes one of the errors of the response to invalid input.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query
from pydantic import GetPydanticSchema, WithJsonSchema
from pydantic_core import core_schema

from domain.errors import InvalidValue
from domain.values import IdempotencyKey, TaskId, Text
from entrypoints.http.problem import RequestRefused


def _rule(parse: Callable[[str], Any], **schema: Any) -> GetPydanticSchema:
    return GetPydanticSchema(
        lambda _source, _handler: core_schema.no_info_plain_validator_function(parse),
        lambda _schema, _handler: schema,
    )


def whole_number(
    name: str, smallest: int, largest: int, make: Callable[[int], Any] = int, *, empty_is_absent: bool = False
) -> GetPydanticSchema:
    """In ASCII digits as a program writes them: no sign, no blanks, no leading zeros."""
    digits = re.compile(f"0|[1-9][0-9]{{0,{len(str(largest)) - 1}}}")

    def parse(text: str) -> Any:
        if empty_is_absent and not text:
            return None
        if not digits.fullmatch(text) or not smallest <= int(text) <= largest:
            raise InvalidValue(name, f"must be a whole number from {smallest} to {largest}")
        return make(int(text))

    return _rule(parse, type="integer", minimum=smallest, maximum=largest)


def one_of(
    name: str, meanings: Mapping[str, Any], *, others_are_absent: bool = False, **schema: Any
) -> GetPydanticSchema:
    """One of the words, in any case. The parameter's value is what the word means; empty means absent."""
    lowered = {word.lower(): meaning for word, meaning in meanings.items()}

    def parse(text: str) -> Any:
        if not text or (others_are_absent and text.lower() not in lowered):
            return None
        if text.lower() not in lowered:
            raise InvalidValue(name, f"must be one of: {', '.join(meanings)}")
        return lowered[text.lower()]

    return _rule(parse, **{"type": "string", "enum": [*meanings], **schema})


def text(kind: type[Text]) -> GetPydanticSchema:
    """A text of the domain; empty means absent."""
    return _rule(
        lambda sent: kind(sent) if sent else None, type="string", maxLength=kind.LONGEST, pattern=r"^[^\u0000]*$"
    )


Id = Annotated[TaskId, whole_number("id", 1, TaskId.LARGEST, TaskId), Path(alias="id", examples=[7])]


async def _all(
    confirmed: Annotated[str | None, Query(alias="all", include_in_schema=False)] = None,
) -> None:
    """Without it, the list has no such method, so the parameter is not just missing (`openapi.CONFIRMED`)."""
    if confirmed != "true":
        raise RequestRefused(405)


All = Annotated[None, Depends(_all)]
"""The first parameter of its route: the method comes before the owner."""

_VISIBLE_ASCII = re.compile("[!-~]+")


async def idempotency_key(
    lines: Annotated[
        list[str] | None,
        WithJsonSchema({"type": "string", "minLength": 1, "maxLength": IdempotencyKey.LONGEST, "pattern": "^[!-~]*$"}),
        Header(alias="Idempotency-Key", description="Chosen by the client for this task: makes it safe to retry."),
    ] = None,
) -> IdempotencyKey | None:
    if lines is None:
        return None
    key = ", ".join(lines)
    if not _VISIBLE_ASCII.fullmatch(key):
        raise InvalidValue("Idempotency-Key", "must be visible ASCII characters without blanks")
    if len(key) > IdempotencyKey.LONGEST:
        raise InvalidValue("Idempotency-Key", f"must have 1 to {IdempotencyKey.LONGEST} characters")
    return IdempotencyKey(key)


Key = Annotated[IdempotencyKey | None, Depends(idempotency_key)]
