"""Bodies of requests: how large, in which format, and what they must say."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import InvalidValue

LONGEST = 64 * 1024  # bytes
BODY_SECONDS = 10  # that a client may take to send one

T = TypeVar("T")


class BodyLimit:
    """Answers 413 to longer bodies: at once where the length is announced, else as soon as it is reached.

    And 400 to a body behind an `Upgrade` field: httptools stops reading there, so the request would look as if it had
    none. Closes the connection, on which the body would be taken for the next request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if b"upgrade" in headers and (b"transfer-encoding" in headers or length != b"0"):
            raise HTTPException(400, headers={"Connection": "close"})
        if length.isdigit() and int(length[:20]) > LONGEST:  # twenty digits say enough
            raise HTTPException(413)
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > LONGEST:
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)


class Body(Generic[T]):
    """A FastAPI dependency: the JSON object in the body, checked against a TypedDict and made into what it stands for.

    Raises RequestValidationError with the faults of all fields, InvalidValue where they contradict each other, and
    HTTPException(415) for another declared media type.
    FastAPI's own bodies are parsed before any dependency runs; this one waits until it is known whose tasks are meant.
    """

    def __init__(self, fields: type, make: Callable[..., T], *, required: bool = True) -> None:
        self.name = fields.__name__
        self.fields: TypeAdapter[Any] = TypeAdapter(fields)
        self.required = required
        self._make = make

    async def __call__(self, request: Request) -> T:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.body()
        except TimeoutError:
            raise HTTPException(408, headers={"Connection": "close"}) from None
        if not self.required and not body.strip():
            return self._make()
        if body and (not _says_json(request) or request.headers.get("content-encoding", "identity") != "identity"):
            raise HTTPException(415)
        try:
            return self._make(**_with_completed(self.fields.validate_json(body)))
        except ValidationError as wrong:
            errors = wrong.errors(include_url=False, include_input=False)
            raise RequestValidationError([{**error, "loc": ("body", *error["loc"])} for error in errors]) from None


def _says_json(request: Request) -> bool:
    media_type = (request.headers.get("content-type") or "application/json").partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _with_completed(sent: dict[str, Any]) -> dict[str, Any]:
    """`status` is another way to say `completed`; whoever says both must mean the same."""
    if "status" in sent:
        completed = sent.pop("status") == "complete"
        if sent.setdefault("completed", completed) is not completed:
            raise InvalidValue("status", "must agree with completed")
    return sent
