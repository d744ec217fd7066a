"""Express lane: runs the contracts' routes without FastAPI's machinery for each request. For speed alone; removable.

FastAPI stays in charge: it declares, documents and can serve every route. This middleware, the innermost one, handles a
request itself only if it understands the declaration of the matching route completely, and then does what FastAPI would
have done. It passes everything else on: other routes, an application with overrides, a mounted application, a request
that FastAPI traces. `create(express=False)` leaves it out.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from inspect import iscoroutinefunction
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi._compat import ModelField, field_annotation_is_scalar
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_typed_return_annotation, get_validation_alias
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from fastapi.security.base import SecurityBase
from starlette.convertors import StringConvertor
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from entrypoints.http.contract import ContractRoute
from entrypoints.http.problem import handle

_ROUTE = "todo.express"
_FAILED = object()
_LISTS = (list[str], list[str] | None)


class Express:
    """ASGI middleware that dispatches the contracts' routes.

    It learns them when the application starts, and again when the application has got other routes. Exception
    handlers of the application's own apply here as well.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._run: ASGIApp = _run
        self._learned: list[BaseRoute] | None = None
        self._paths = re.compile("(?!)")
        self._routes: dict[str | None, dict[str, _Route]] = {}  # by group of that expression, then by method

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":  # now rather than in the first request's time
            self._learn(scope["app"])
        run = self._run if scope["type"] == "http" and self._finds(scope) else self._app
        return run(scope, receive, send)

    def _finds(self, scope: Scope) -> bool:
        """Whether this lane runs the route that FastAPI would choose, which the scope then names."""
        application: FastAPI = scope["app"]
        if application.router.routes != self._learned:
            self._learn(application)
        if application.dependency_overrides or scope.get("root_path") or "fastapi.telemetry" in scope:
            return False
        found = self._paths.fullmatch(scope["path"])
        if found is None or found.lastindex is None:
            return False
        route = self._routes[found.lastgroup].get(scope["method"])
        if route is None or (route.earlier and _is_preceded(route, scope)):
            return False
        scope["route"], scope["endpoint"], scope[_ROUTE] = route.original, route.steps[-1].call, route
        scope["path_params"] = dict(zip(route.parameters, found.groups()[found.lastindex :], strict=False))
        return True

    def _learn(self, application: FastAPI) -> None:
        self._learned = [*application.router.routes]
        paths: dict[str, dict[str, _Route]] = {}
        others: list[RouteContext] = []
        for context in iter_route_contexts(self._learned):
            route = _understand(context, others)
            if route is None:
                others.append(context)
            else:
                methods = paths.setdefault(context.path_regex.pattern, {})
                methods.update({method: route for method in context.methods or () if method not in methods})
        groups = {f"path{number}": pattern for number, pattern in enumerate(paths)}
        self._paths = re.compile("|".join(f"(?P<{name}>{_unnamed(pattern)})" for name, pattern in groups.items()))
        self._routes = {name: paths[pattern] for name, pattern in groups.items()}
        handlers = {key: value for key, value in application.exception_handlers.items() if key not in (500, Exception)}
        ours = all(value is handle for key, value in handlers.items() if key is not WebSocketRequestValidationError)
        self._run = _run if ours else ExceptionMiddleware(_run, handlers)


def _unnamed(pattern: str) -> str:
    """The pattern with its parameters as unnamed groups, because patterns of other paths use the same names."""
    return re.sub(r"\?P<\w+>", "", pattern.removeprefix("^").removesuffix("$"))


async def _run(scope: Scope, receive: Receive, send: Send) -> None:
    """Solves dependencies and calls the endpoint in FastAPI's order, and collects validation errors as FastAPI does."""
    request = Request(scope, receive, send)
    results: list[Any] = []
    errors: list[Any] = []
    for call, defaults, dependencies, parameters, request_name, required in scope[_ROUTE].steps:
        arguments, before = defaults.copy(), len(errors)
        for name, index in dependencies:
            arguments[name] = results[index]
        for group in parameters:
            if group.present(scope):
                group.read(request, arguments, errors)
        if request_name is not None:
            arguments[request_name] = request
        if errors and (len(errors) > before or any(results[index] is _FAILED for index in required)):
            results.append(_FAILED)
        else:
            results.append(await call(**arguments))
    if errors:
        raise RequestValidationError(errors)
    await results[-1](scope, receive, send)


@dataclass(frozen=True, slots=True)
class _Parameters:
    """The parameters that one callable takes from one part of the request: all of the path, or with plain defaults."""

    kind: str
    fields: Sequence[ModelField]
    part: Callable[[Request], Any]
    present: Callable[[Scope], Any]
    """Whether any of them may be there. Only then do they need to be read."""
    lists: Collection[str]
    """Aliases of those that may occur several times."""

    def read(self, request: Request, values: dict[str, Any], errors: list[Any]) -> None:
        """Adds values by name, and validation errors."""
        sent = self.part(request)
        for field in self.fields:
            alias = field.alias
            if alias in sent:
                value = sent.getlist(alias) if alias in self.lists else sent[alias]
                values[field.name], found = field.validate(value, loc=(self.kind, alias))
                errors += found


class _Step(NamedTuple):
    """One call, of a dependency or of the endpoint."""

    call: Callable[..., Awaitable[Any]]
    defaults: dict[str, Any]
    dependencies: Sequence[tuple[str, int]]
    """Arguments that are results of earlier steps, by index."""
    parameters: Sequence[_Parameters]
    request_name: str | None
    required: Sequence[int]
    """Steps that must succeed before this call, including guards whose results are unused."""


@dataclass(frozen=True, slots=True)
class _Route:
    original: BaseRoute
    steps: Sequence[_Step]
    parameters: Sequence[str]
    earlier: Sequence[RouteContext]
    """Routes that FastAPI tries before, that this lane does not run, and whose paths may overlap."""


def _is_preceded(route: _Route, scope: Scope) -> bool:
    return any(earlier.matches(scope)[0] is not Match.NONE for earlier in route.earlier)


class _NotUnderstood(Exception):
    """A declaration holds something that this lane leaves to FastAPI."""


def _understand(context: RouteContext, earlier: Sequence[RouteContext]) -> _Route | None:
    """None if any part of the declaration is not understood."""
    original = context.original_route
    plain = (
        isinstance(original, ContractRoute)
        and type(original).get_route_handler is APIRoute.get_route_handler
        and type(original).handle is APIRoute.handle
        and context.body_field is None
        and context.max_body_size is None
        and all(type(convertor) is StringConvertor for convertor in context.param_convertors.values())
        and _returns_response(context.endpoint)
    )
    if not plain:
        return None
    steps: list[_Step] = []
    try:
        _plan(context.dependant, context.param_convertors, steps, {})
    except _NotUnderstood:
        return None
    overlapping = [route for route in earlier if not _has_another_path(route, context)]
    return _Route(original, steps, [*context.param_convertors], overlapping)


def _has_another_path(route: RouteContext, than: RouteContext) -> bool:
    """Decided for paths without parameters only."""
    fixed = isinstance(route.original_route, Route) and not route.param_convertors
    return fixed and not than.path_regex.match(route.path)


def _returns_response(endpoint: Callable[..., Any] | None) -> bool:
    returned = get_typed_return_annotation(endpoint) if endpoint else None
    return isinstance(returned, type) and issubclass(returned, Response)


def _plan(part: Dependant, path: Collection[str], steps: list[_Step], known: dict[object, int]) -> int:
    """Appends the steps of a callable and of its dependencies, and returns the index of its own. Raises _NotUnderstood,
    also for a dependency that occurs twice."""
    special = (
        part.body_params,
        part.cookie_params,
        part.websocket_param_name,
        part.http_connection_param_name,
        part.response_param_name,
        part.background_tasks_param_name,
        part.security_scopes_param_name,
        part.own_oauth_scopes,
        part.parent_oauth_scopes,
        part.concurrency,
    )
    if part.call is None or any(special) or not _is_coroutine_function(part.call):
        raise _NotUnderstood
    if (part.call, part.scope) in known:
        raise _NotUnderstood
    optional = [*part.query_params, *part.header_params]
    if not all(map(_is_plain, [*part.path_params, *optional])) or not all(map(_has_plain_default, optional)):
        raise _NotUnderstood
    if not all(field.alias in path for field in part.path_params):
        raise _NotUnderstood
    children = [(child.name, _plan(child, path, steps, known)) for child in part.dependencies]
    step = _Step(
        part.call,
        defaults={field.name: field.default for field in optional},
        dependencies=[(name, index) for name, index in children if name is not None],
        parameters=[*_parameters(part)],
        request_name=part.request_param_name,
        required=[index for _, index in children],
    )
    steps.append(step)
    known[part.call, part.scope] = len(steps) - 1
    return len(steps) - 1


def _is_coroutine_function(call: Callable[..., Any]) -> bool:
    """A function or an object with an async `__call__`; not a class, and not a security scheme."""
    if isinstance(call, (type, SecurityBase)):
        return False
    return iscoroutinefunction(call) or iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004


def _is_plain(field: ModelField) -> bool:
    """A scalar or a list of strings, under one name."""
    annotation = field.field_info.annotation
    one_name = get_validation_alias(field) == field.alias and field.config is None
    return one_name and (annotation in _LISTS or field_annotation_is_scalar(annotation))


def _has_plain_default(field: ModelField) -> bool:
    info = field.field_info
    immutable = info.default is None or isinstance(info.default, (str, int, Enum))
    return immutable and not info.is_required() and info.default_factory is None and not info.validate_default


def _parameters(part: Dependant) -> Iterator[_Parameters]:
    optional = [*part.query_params, *part.header_params]
    lists = frozenset(field.alias for field in optional if field.field_info.annotation in _LISTS)
    if part.path_params:
        yield _Parameters("path", part.path_params, attrgetter("path_params"), itemgetter("path_params"), ())
    if part.query_params:
        yield _Parameters("query", part.query_params, attrgetter("query_params"), itemgetter("query_string"), lists)
    if part.header_params:
        names = frozenset(field.alias.lower().encode() for field in part.header_params)
        yield _Parameters("header", part.header_params, attrgetter("headers"), partial(_has_header, names), lists)


def _has_header(names: Collection[bytes], scope: Scope) -> bool:
    for name, _ in scope["headers"]:  # noqa: SIM110  (three times as fast as any())
        if name in names:
            return True
    return False
