"""What a route may not declare, because nobody would carry it out: noticed when the program starts."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

import pytest
from fastapi import Body, Cookie, Depends, Header, Query
from starlette.responses import Response

from entrypoints.http.express import Operation


async def _in_query(word: Annotated[str, Query()]) -> Response:
    return Response()


async def _in_header(word: Annotated[str, Header()]) -> Response:
    return Response()


async def _in_body(word: Annotated[str, Body()]) -> Response:
    return Response()


def _cookie(word: Annotated[str, Cookie()]) -> str:
    return word


def _nested(word: Annotated[str, Depends(_cookie)]) -> str:
    return word


async def _opened() -> AsyncIterator[str]:
    yield ""


async def _of_cookie(word: Annotated[str, Depends(_cookie)]) -> Response:
    return Response()


async def _of_nested(word: Annotated[str, Depends(_nested)]) -> Response:
    return Response()


async def _of_opened(word: Annotated[str, Depends(_opened)]) -> Response:
    return Response()


@pytest.mark.parametrize("endpoint", [_in_query, _in_header, _in_body, _of_cookie, _of_nested, _of_opened])
def test_what_would_not_be_carried_out_cannot_be_declared(endpoint: Callable[..., Awaitable[Response]]) -> None:
    with pytest.raises(AssertionError):
        Operation("/", endpoint)
