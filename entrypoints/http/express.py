"""Express lane: runs the contracts' routes without FastAPI's machinery for each request. For speed alone; removable.

FastAPI stays in charge: it declares, documents and can serve every route. This middleware, the innermost one, handles a
request itself only if it understands the declaration of the matching route completely, and then does what FastAPI would
have done. It passes everything else on: other routes, an application with overrides, a mounted application, a request
that FastAPI traces. `create(express=False)` leaves it out.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from inspect import iscoroutinefunction
from operator import attrgetter, itemgetter
from typing import Any

from fastapi import FastAPI
from fastapi._compat import ModelField, field_annotation_is_scalar
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_typed_return_annotation, get_validation_alias, request_params_to_args
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


class Express:
    """ASGI middleware that dispatches the contracts' routes.

    It learns them at the first request, and again whenever the application's list of routes has changed. Exception
    handlers of the application's own apply here as well.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._run: ASGIApp = _run
        self._learned: list[BaseRoute] | None = None
        self._paths = re.compile("(?!)")
        self._routes: dict[int, dict[str, _Route]] = {}  # by group of the expression, then by method

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        run = self._run if scope["type"] == "http" and self._finds(scope) else self._app
        await run(scope, receive, send)

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
        route = self._routes[found.lastindex].get(scope["method"])
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
                continue
            methods = paths.setdefault(context.path_regex.pattern, {})
            for method in context.methods or ():
                methods.setdefault(method, route)
        self._paths = re.compile("|".join(map(_as_group, paths)) or "(?!)")
        self._routes = dict(zip(_groups(paths.values()), paths.values(), strict=True))
        handlers = {key: value for key, value in application.exception_handlers.items() if key not in (500, Exception)}
        ours = all(value is handle for key, value in handlers.items() if key is not WebSocketRequestValidationError)
        self._run = _run if ours else ExceptionMiddleware(_run, handlers)


async def _run(scope: Scope, receive: Receive, send: Send) -> None:
    """Solves dependencies and calls the endpoint in FastAPI's order, and like FastAPI collects validation errors."""
    request = Request(scope, receive, send)
    results: list[Any] = []
    errors: list[Any] = []
    for step in scope[_ROUTE].steps:
        arguments, known = step.defaults.copy(), len(errors)
        failed = False
        for name, index in step.dependencies:
            arguments[name] = results[index]
            failed = failed or results[index] is _FAILED
        for parameters in step.parameters:
            if parameters.present(scope):
                parameters.read(request, arguments, errors)
        if step.request is not None:
            arguments[step.request] = request
        if failed or len(errors) > known:
            results.append(_FAILED)
        else:
            arguments.pop(None, None)
            results.append(await step.call(**arguments))
    if errors:
        raise RequestValidationError(errors)
    await results[-1](scope, receive, send)


@dataclass(frozen=True, slots=True)
class _Parameters:
    """The parameters that one callable takes from one part of the request."""

    fields: Sequence[ModelField]
    part: Callable[[Request], Any]
    present: Callable[[Scope], Any]
    """Whether any of them may be there. Only then do they need to be read: without them, all have their defaults."""
    plain: Sequence[tuple[str, ModelField, str, tuple[str, str], bool]] | None
    """Name, field, alias, location, and whether it is a list; None if FastAPI has to extract the values."""
    defaults: dict[str, Any]

    def read(self, request: Request, values: dict[str | None, Any], errors: list[Any]) -> None:
        """Adds values by name, and validation errors."""
        sent = self.part(request)
        if self.plain is None:
            extracted, found = request_params_to_args(self.fields, sent)
            values.update(extracted)
            errors += found
            return
        for name, field, alias, location, is_list in self.plain:
            if alias in sent:
                value = sent.getlist(alias) if is_list else sent[alias]
                values[name], found = field.validate(value, loc=location)
                errors += found


@dataclass(frozen=True, slots=True)
class _Step:
    """One call: a dependency's or the endpoint's. Dependencies are the indices of earlier steps."""

    call: Callable[..., Awaitable[Any]]
    dependencies: Sequence[tuple[str | None, int]]
    parameters: Sequence[_Parameters]
    defaults: dict[str | None, Any]
    request: str | None


@dataclass(frozen=True, slots=True)
class _Route:
    original: BaseRoute
    steps: Sequence[_Step]
    parameters: Sequence[str]
    earlier: Sequence[RouteContext]
    """Routes that FastAPI tries before, and that this lane does not run."""


def _is_preceded(route: _Route, scope: Scope) -> bool:
    return any(earlier.matches(scope)[0] is not Match.NONE for earlier in route.earlier)


class _NotUnderstood(Exception):
    """A declaration holds something that this lane leaves to FastAPI."""


def _understand(context: RouteContext, earlier: Sequence[RouteContext]) -> _Route | None:
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
        _plan(context.dependant, steps, {})
    except _NotUnderstood:
        return None
    overlapping = [route for route in earlier if not _has_a_path_of_its_own(route, context)]
    return _Route(original, steps, [*context.param_convertors], overlapping)


def _has_a_path_of_its_own(route: RouteContext, other: RouteContext) -> bool:
    """A path without parameters that the other route does not match."""
    plain = isinstance(route.original_route, Route) and not route.param_convertors
    return plain and not other.path_regex.match(route.path)


def _returns_response(endpoint: Callable[..., Any] | None) -> bool:
    returned = get_typed_return_annotation(endpoint) if endpoint else None
    return isinstance(returned, type) and issubclass(returned, Response)


def _plan(part: Dependant, steps: list[_Step], known: dict[object, int]) -> int:
    """Appends the steps of a callable and of what it depends on; returns the index of its own. Raises
    _NotUnderstood."""
    call = part.call
    special = (
        part.body_params,
        part.websocket_param_name,
        part.http_connection_param_name,
        part.response_param_name,
        part.background_tasks_param_name,
        part.security_scopes_param_name,
        part.own_oauth_scopes,
        part.parent_oauth_scopes,
        part.concurrency,
    )
    if call is None or any(special) or not _is_coroutine_function(call):
        raise _NotUnderstood
    if part.use_cache and (call, part.scope) in known:
        return known[call, part.scope]
    dependencies = [(child.name, _plan(child, steps, known)) for child in part.dependencies]
    parameters = [*_parameters(part)]
    defaults: dict[str | None, Any] = {name: value for group in parameters for name, value in group.defaults.items()}
    steps.append(_Step(call, dependencies, parameters, defaults, part.request_param_name))
    known[call, part.scope] = len(steps) - 1
    return len(steps) - 1


def _is_coroutine_function(call: Callable[..., Any]) -> bool:
    """A function or an object with an async `__call__`. A class or a security scheme is FastAPI's business."""
    if isinstance(call, (type, SecurityBase)):
        return False
    return iscoroutinefunction(call) or iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004


def _parameters(part: Dependant) -> Iterator[_Parameters]:
    if part.path_params:
        yield _group("path", part.path_params, attrgetter("path_params"), _always)
    if part.query_params:
        yield _group("query", part.query_params, attrgetter("query_params"), itemgetter("query_string"))
    if part.header_params:
        names = frozenset(get_validation_alias(field).lower().encode() for field in part.header_params)
        yield _group("header", part.header_params, attrgetter("headers"), partial(_has_header, names))
    if part.cookie_params:
        yield _group("cookie", part.cookie_params, attrgetter("cookies"), _always)


def _always(_: Scope) -> bool:
    return True


def _has_header(names: Collection[bytes], scope: Scope) -> bool:
    for name, _ in scope["headers"]:  # noqa: SIM110  (three times as fast as any())
        if name in names:
            return True
    return False


def _group(
    kind: str, fields: Sequence[ModelField], part: Callable[[Request], Any], present: Callable[[Scope], Any]
) -> _Parameters:
    """FastAPI extracts what is neither a plain scalar nor a list, and decides what a missing parameter means."""
    optional = all(_has_plain_default(field) for field in fields)
    plain = all(_is_plain(field) for field in fields) and (optional or kind == "path")
    return _Parameters(
        fields,
        part,
        present if optional else _always,
        [(field.name, field, field.alias, (kind, field.alias), _is_list(field)) for field in fields] if plain else None,
        {field.name: field.default for field in fields} if optional else {},
    )


def _has_plain_default(field: ModelField) -> bool:
    info = field.field_info
    plain = info.default is None or isinstance(info.default, (str, int, Enum))
    return not info.is_required() and plain and info.default_factory is None and not info.validate_default


def _is_plain(field: ModelField) -> bool:
    plain = get_validation_alias(field) == field.alias and field.config is None
    return plain and (_is_list(field) or field_annotation_is_scalar(field.field_info.annotation))


def _is_list(field: ModelField) -> bool:
    return field.field_info.annotation in (list[str], list[str] | None)


def _as_group(pattern: str) -> str:
    """The pattern as one group that holds one more for each parameter, unnamed, since other paths use the names too."""
    return "(" + re.sub(r"\?P<\w+>", "", pattern.removeprefix("^").removesuffix("$")) + ")"


def _groups(paths: Iterable[dict[str, _Route]]) -> Iterator[int]:
    """The number of each path's group."""
    group = 1
    for methods in paths:
        yield group
        group += 1 + len(next(iter(methods.values())).parameters)
