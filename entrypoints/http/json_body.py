"""JSON request bodies: a FastAPI dependency that reads, validates and converts them."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from copy import copy
from typing import Any, Generic, Self, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from entrypoints.http.context import services
from entrypoints.http.problem import RequestRefused

BODY_SECONDS = 10  # for the client to send a body

T = TypeVar("T")


class JsonBody(Generic[T]):
    """The JSON object in the body, validated against a TypedDict and converted by `make`, which takes its members.

    `ours`: where unknown members are kept, members by other names go to `make` as `extras`. Empty: they are ignored.

    Raises RequestValidationError with the errors of all members, what `make` raises, and RequestRefused: 415 for
    another declared media type, 408 for a body that takes more than BODY_SECONDS. An optional body may be empty.

    FastAPI parses its own body parameters before it runs any dependency; this one waits until the owner is established.
    """

    def __init__(
        self,
        model: type,
        make: Callable[..., T],
        *,
        example: Mapping[str, Any],
        required: bool = True,
        ours: Collection[str] = (),
    ) -> None:
        self.model = model
        self.name = model.__name__
        self.adapter: TypeAdapter[Any] = TypeAdapter(model)
        self.required = required
        self.ours = ours
        self._example = example
        self._make = make

    async def __call__(self, request: Request) -> T:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.body()
        except TimeoutError:
            raise RequestRefused(408, headers={"Connection": "close"}) from None
        if not self.required and not body.strip():
            return self._make()
        if body and (not _is_json(request) or request.headers.get("content-encoding", "identity") != "identity"):
            raise RequestRefused(415)
        try:
            _refuse_non_finite_numbers(body)
            members = self.adapter.validate_json(body)
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False, include_input=False)
            raise RequestValidationError([{**error, "loc": ("body", *error["loc"])} for error in errors]) from None
        if self.ours and services(request).keep_unknown_members:
            unknown = {name: value for name, value in from_json(body).items() if name not in self.ours}
            members |= {"extras": unknown} if unknown else {}
        return self._make(**members)

    def knowing(self, *names: str) -> Self:
        """The same, but members by these names are not unknown."""
        known = copy(self)
        known.ours = {*self.ours, *names}
        return known

    def openapi(self) -> dict[str, Any]:
        """The requestBody object. `openapi.document` puts the schema that it refers to into the components."""
        schema = {"$ref": f"#/components/schemas/{self.name}"}
        content = {"schema": schema, "example": self._example}
        return {"content": {"application/json": content}, "required": self.required}


def _is_json(request: Request) -> bool:
    media_type = (request.headers.get("content-type") or "application/json").partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _refuse_non_finite_numbers(body: bytes) -> None:
    """`NaN` and `Infinity` are not JSON (RFC 8259 section 6), though many parsers accept them, in any member.

    Raises RequestValidationError. The words themselves may stand in a string, so only then is the body parsed for it.
    """
    if b"NaN" in body or b"Infinity" in body:
        try:
            from_json(body, allow_inf_nan=False)
        except ValueError as invalid:
            error = {"type": "json_invalid", "loc": ("body",), "ctx": {"error": str(invalid)}}
            raise RequestValidationError([error]) from None
