"""Failures as HTTP responses, in one place: every error has the same body, an RFC 9457 problem."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http.client import responses
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from fastapi.utils import is_body_allowed_for_status_code
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from domain.errors import (
    AnonymousCaller,
    CredentialsExpired,
    CredentialsMissing,
    DomainError,
    IdentityUnavailable,
    InvalidValue,
    KeyReused,
    ListChanged,
    NotAuthenticated,
    NotYours,
    QuotaExceeded,
    StorageUnavailable,
    TaskChanged,
    TaskNotFound,
    TooManyRequests,
    WrongCredentialType,
)
from entrypoints.http.context import context

if TYPE_CHECKING:
    from entrypoints.http.contract import Contract

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """How a failure is reported. `code` is for programs and never changes; `detail` is for people."""

    status: int
    code: str
    detail: Any


ERRORS: Mapping[type[DomainError], ErrorSpec] = {
    InvalidValue: ErrorSpec(422, "invalid_input", "Invalid input"),
    CredentialsMissing: ErrorSpec(401, "missing_token", "Missing bearer token"),
    NotAuthenticated: ErrorSpec(401, "invalid_token", "Invalid or expired token"),
    CredentialsExpired: ErrorSpec(401, "expired_token", "Invalid or expired token"),
    WrongCredentialType: ErrorSpec(401, "session_token", "Invalid or expired token"),
    AnonymousCaller: ErrorSpec(401, "anonymous_token", "Invalid or expired token"),
    IdentityUnavailable: ErrorSpec(503, "identity_unavailable", "Token verification is temporarily unavailable"),
    NotYours: ErrorSpec(403, "not_yours", "These tasks belong to another user"),
    QuotaExceeded: ErrorSpec(403, "quota_exceeded", "You have as many tasks as one user may have"),
    KeyReused: ErrorSpec(422, "idempotency_key_reused", "This Idempotency-Key was already used for a different task"),
    ListChanged: ErrorSpec(412, "list_changed", "The list of tasks has changed"),
    TaskChanged: ErrorSpec(412, "task_changed", "The task has changed"),
    TaskNotFound: ErrorSpec(404, "task_not_found", "Task not found"),
    TooManyRequests: ErrorSpec(429, "too_many_requests", "Too many of your requests are waiting"),
    StorageUnavailable: ErrorSpec(503, "storage_unavailable", "Storage is temporarily unavailable"),
}
"""Statuses that differ in a contract are listed there (`Contract.statuses`)."""


class RequestRefused(HTTPException):
    """One of HTTP_ERRORS, by its status."""


HTTP_ERRORS: Mapping[int, ErrorSpec] = {
    400: ErrorSpec(400, "upgrade_refused", "A request with a body cannot upgrade the connection"),
    404: ErrorSpec(404, "not_found", "Not found"),
    405: ErrorSpec(405, "method_not_allowed", "Method not allowed"),
    408: ErrorSpec(408, "body_too_slow", "The request body did not arrive in time"),
    413: ErrorSpec(413, "body_too_large", "The request body exceeds 64 KiB"),
    415: ErrorSpec(415, "unsupported_media_type", "The request body must be uncompressed application/json"),
}
UNHANDLED = ErrorSpec(500, "internal_error", "Internal server error")

CODES = sorted({spec.code for spec in (*ERRORS.values(), *HTTP_ERRORS.values(), UNHANDLED)})
"""Every `code` of a response to a well-formed request (`server/protocol.py` responds to the others)."""

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
"""Reason phrases as in RFC 9110; those in Python's table change from version to version."""

RETRY_AFTER = "1"  # seconds
_TEMPORARY = {ERRORS[kind].code for kind in (StorageUnavailable, IdentityUnavailable, TooManyRequests)}


def respond(scope: Scope, failure: Exception, *, reason: str = "") -> Response:
    """The response to a request that failed. A failure that nobody expects is logged and becomes a 500.

    `reason` is added to the detail of an expected failure.
    """
    match failure:
        case RequestValidationError():
            return _invalid_input(scope, [_field_error(error) for error in failure.errors()])
        case InvalidValue():
            return _invalid_input(scope, [FieldError(failure.field, str(failure))])
        case WrongCredentialType():
            return _problem(scope, _spec(scope, type(failure)), hint=str(failure))
        case DomainError() if reported_as(type(failure)):
            spec = _spec(scope, type(failure))
            return _problem(scope, replace(spec, detail=f"{spec.detail}: {reason}") if reason else spec)
        case HTTPException():
            return _http_error(scope, failure)
        case _:
            _log.error("unhandled exception", request_id=context(scope).request_id, exc_info=failure)
            return _problem(scope, UNHANDLED)


async def handle(request: Request, failure: Exception) -> Response:
    """`respond` as a FastAPI exception handler."""
    return respond(request.scope, failure)


def reported_as(failure: type[DomainError]) -> type[DomainError] | None:
    """The nearest class that ERRORS lists; None if it lists none, which is a bug."""
    return next((kind for kind in failure.__mro__ if kind in ERRORS), None)


def _spec(scope: Scope, failure: type[DomainError]) -> ErrorSpec:
    kind = reported_as(failure) or failure
    contract: Contract | None = getattr(scope.get("route"), "contract", None)  # None before routing
    return contract.error(kind) if contract else ERRORS[kind]


def _http_error(scope: Scope, failure: HTTPException) -> Response:
    """An HTTPException of a route keeps its status, detail and headers, as FastAPI's documentation says."""
    status, headers = failure.status_code, {**(failure.headers or {})}
    if not is_body_allowed_for_status_code(status):
        return Response(status_code=status, headers=headers)
    phrase = responses.get(status, "Error")
    ours = isinstance(failure, RequestRefused) or status in (404, 405)  # those two are the router's as well
    spec = HTTP_ERRORS[status] if ours else ErrorSpec(status, re.sub("[^a-z]+", "_", phrase.lower()), phrase)
    if failure.detail != phrase:
        spec = replace(spec, detail=failure.detail)
    if status == 405:
        headers["Allow"] = ", ".join(sorted(_methods(scope)))
    return _problem(scope, spec, headers=headers)


def _methods(scope: Scope) -> set[str]:
    """All methods that the path supports (RFC 9110 section 15.5.6), but not the one that was refused; Starlette names
    those of the first route only."""
    routes = iter_route_contexts(scope["app"].routes)
    matching = (route for route in routes if route.methods and route.matches(scope)[0] is not Match.NONE)
    methods = {method for route in matching for method in route.methods or ()}
    return (methods | {"HEAD"} if "GET" in methods else methods) - {scope["method"]}


class FieldError(NamedTuple):
    """What is wrong with one field; the message continues its name. Never repeats the input: it may be huge, secret or
    not representable."""

    field: str
    message: str


def _invalid_input(scope: Scope, errors: Sequence[FieldError]) -> Response:
    """`detail` is the reason of the first error, because many clients show nothing else."""
    spec = replace(_spec(scope, InvalidValue), detail=" ".join(errors[0]))
    return _problem(scope, spec, errors=[error._asdict() for error in errors])


def _field_error(error: Any) -> FieldError:
    location = error["loc"][1:]
    named = location and isinstance(location[0], str)  # FastAPI's JSON errors have an offset there
    return FieldError(location[0] if named else str(error["loc"][0]), _message(error))


def _message(error: Any) -> str:
    """Of a validation error, which is Pydantic's or holds one of the domain's."""
    context = error.get("ctx", {})
    if isinstance(context.get("error"), InvalidValue):
        return str(context["error"])
    if error["type"] in _MESSAGES:
        return _MESSAGES[error["type"]].format(**context)
    return str(error["msg"]).replace("Input should", "must")


_MESSAGES = {
    "missing": "is required",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_parsing": "must be a whole number",
    "literal_error": "must be {expected}",
    "dict_type": "must be a JSON object",
    "json_invalid": "is not valid JSON: {error}",
}
"""By Pydantic's type of error, in the voice of the domain's own messages."""


def problem_body(spec: ErrorSpec, request_id: str, **more: Any) -> bytes:
    """RFC 9457, with the members that clients of either contract look for."""
    problem = {
        "status": spec.status,
        "title": TITLES.get(spec.status) or responses.get(spec.status, "Error"),
        "code": spec.code,
        "detail": spec.detail,
        "error": spec.detail,
        "message": spec.detail,
        "request_id": request_id,
        **more,
    }
    return orjson.dumps(problem)


_ERROR_HEADERS = {"vary": "Accept", "cache-control": "no-store"}


def _problem(scope: Scope, spec: ErrorSpec, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    request = context(scope)
    request.error_code = spec.code
    accepted = ",".join(Headers(scope=scope).getlist("accept")).lower()
    response = Response(
        problem_body(spec, request.request_id, **more),
        spec.status,
        _ERROR_HEADERS | {name.lower(): value for name, value in (headers or {}).items()},
        media_type="application/problem+json" if "application/problem+json" in accepted else "application/json",
    )
    if spec.code in _UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = _challenge(spec)
    if spec.code in _TEMPORARY:
        response.headers["Retry-After"] = RETRY_AFTER
    return response


_UNAUTHENTICATED = {spec.code for failure, spec in ERRORS.items() if issubclass(failure, NotAuthenticated)}


def _challenge(spec: ErrorSpec) -> str:
    """RFC 6750 section 3: no error code for a caller who sent no credentials."""
    if spec.code == ERRORS[CredentialsMissing].code:
        return "Bearer"
    return f'Bearer error="invalid_token", error_description="{spec.detail}"'
