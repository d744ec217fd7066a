"""From a request to its route: FastAPI describes the routes, this finds and runs them.

What FastAPI would do besides (a context of exit stacks, a solver for any kind of parameter, a serialiser of answers,
layers for errors that `errors` answers already) serves nobody here, and would take most of a request's time.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

Read = Callable[[Request], Any]


class Operation(APIRoute):
    """Calls its endpoint with what its dependencies make of the request, one after the other as they are declared.

    A dependency is given the request, or text from the address or a header just as it was sent, and parses it itself.
    The endpoint returns a Response; what is declared as its model is documentation.
    """

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Any]], **description: Any) -> None:
        super().__init__(path, endpoint, **description)
        self._endpoint = endpoint
        assert not _parameters(self.dependant), "an endpoint takes from the request what its dependencies make of it"
        self._readers = [(part.name, *_reader(part)) for part in self.dependant.dependencies]
        self._request = self.dependant.request_param_name
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        arguments: dict[Any, Any] = {self._request: request} if self._request else {}
        for name, read, takes_time in self._readers:
            value = read(request)
            arguments[name] = await value if takes_time else value
        response = await self._endpoint(**arguments)
        await response(scope, receive, send)


def _reader(part: Dependant) -> tuple[Read, bool]:
    """What calls the dependency, and whether that has to be awaited."""
    call = part.call
    assert call is not None
    assert not part.dependencies, "a dependency has none of its own"
    assert not [*part.cookie_params, *part.body_params], "it takes text from the address or a header"
    assert not any(is_generator(call) for is_generator in (isgeneratorfunction, isasyncgenfunction)), "and ends"
    takes_time = iscoroutinefunction(call) or iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004
    in_path = [(field.name, field.alias) for field in part.path_params]
    in_query = [(field.name, field.alias) for field in part.query_params]
    in_headers = [(field.name, field.alias.lower().encode()) for field in part.header_params]
    if not in_path and not in_query and not in_headers:
        return call, takes_time

    def read(request: Request) -> Any:
        arguments: dict[str, Any] = {name: request.path_params[alias] for name, alias in in_path}
        if in_query and request.scope["query_string"]:
            sent = request.query_params
            arguments |= {name: sent[alias] for name, alias in in_query if alias in sent}
        for name, alias in in_headers:
            if lines := [value.decode("latin-1") for header, value in request.scope["headers"] if header == alias]:
                arguments[name] = ", ".join(lines)  # RFC 9110 section 5.3
        if part.request_param_name:
            arguments[part.request_param_name] = request
        return call(**arguments)

    return read, takes_time


def _parameters(part: Dependant) -> Sequence[object]:
    return [*part.path_params, *part.query_params, *part.header_params, *part.cookie_params, *part.body_params]


class App(FastAPI):
    """FastAPI with no layers but ours. The first route that matches an address decides who answers there."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = _Dispatch(self.router)
        for layer, arguments, options in reversed(self.user_middleware):
            app = layer(app, *arguments, **options)
        return app


class _Dispatch:
    """Finds the route by one regular expression. Raises HTTPException(404), or 405 with `Allow` (RFC 9110 15.5.6)."""

    def __init__(self, router: Router) -> None:
        self._router = router
        addresses: dict[str, dict[str, Route]] = {}
        for route in router.routes:
            assert isinstance(route, Route)
            addresses.setdefault(route.path_regex.pattern, {}).update(dict.fromkeys(route.methods or (), route))
        self._any = re.compile("|".join(map(_unnamed, addresses)))
        self._at = dict(zip(_places(addresses.values()), addresses.values(), strict=True))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._router.lifespan(scope, receive, send)
            return
        found = self._any.fullmatch(scope["path"])
        if found is None or found.lastindex is None:
            raise HTTPException(404)
        routes = self._at[found.lastindex]
        route = scope["route"] = routes.get(scope["method"]) or next(iter(routes.values()))
        if scope["method"] not in routes:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(routes))})
        names = route.param_convertors
        scope["path_params"] = dict(zip(names, found.groups()[found.lastindex :], strict=False))
        await route.app(scope, receive, send)


def _unnamed(pattern: str) -> str:
    """As one group that holds one more for each parameter, whose names may be those of other addresses too."""
    return "(" + re.sub(r"\?P<\w+>", "", pattern.removeprefix("^").removesuffix("$")) + ")"


def _places(addresses: Iterable[dict[str, Route]]) -> Iterable[int]:
    """The number of each address's group."""
    place = 1
    for routes in addresses:
        yield place
        place += 1 + len(next(iter(routes.values())).param_convertors)
