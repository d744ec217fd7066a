"""Every failure as an HTTP answer, in one place: one body for all, an RFC 9457 problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import (
    CredentialsExpired,
    CredentialsMissing,
    DomainError,
    IdentityUnavailable,
    InvalidValue,
    KeyReused,
    NotAuthenticated,
    NotYours,
    StorageUnavailable,
    TaskChanged,
    TaskNotFound,
    WrongCredentialType,
)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a failure looks like from outside; `code` is for programs and never changes."""

    status: int
    code: str
    detail: str


ANSWERS: Mapping[type[DomainError], Answer] = {
    InvalidValue: Answer(422, "invalid_input", "Invalid input"),
    CredentialsMissing: Answer(401, "missing_token", "Missing bearer token"),
    NotAuthenticated: Answer(401, "invalid_token", "Invalid or expired token"),
    CredentialsExpired: Answer(401, "expired_token", "Invalid or expired token"),
    WrongCredentialType: Answer(401, "session_token", "Invalid or expired token"),
    IdentityUnavailable: Answer(503, "identity_unavailable", "Tokens cannot be checked now, try again"),
    NotYours: Answer(403, "not_yours", "These tasks belong to another user"),
    KeyReused: Answer(422, "idempotency_key_reused", "This Idempotency-Key was used for another task"),
    TaskChanged: Answer(412, "task_changed", "The task has changed"),
    TaskNotFound: Answer(404, "task_not_found", "Task not found"),
    StorageUnavailable: Answer(503, "storage_unavailable", "Storage is unavailable, try again"),
}
STATUS_IN_USER_CONTRACT: Mapping[type[DomainError], int] = {InvalidValue: 400, KeyReused: 400, StorageUnavailable: 500}
"""Where `/api/{user_id}/tasks` differs."""

_OF_HTTP = {
    400: Answer(400, "upgrade_refused", "A request with a body cannot ask to upgrade the connection"),
    404: Answer(404, "not_found", "There is nothing at this address"),
    405: Answer(405, "method_not_allowed", "This address does not take this method"),
    408: Answer(408, "body_too_slow", "The body did not arrive in time"),
    413: Answer(413, "body_too_large", "The body may have at most 64 KiB"),
    415: Answer(415, "unsupported_media_type", "The body must be application/json, and not compressed"),
}
_DEFECT = Answer(500, "internal_error", "Internal server error")

CODES = sorted({answer.code for answer in (*ANSWERS.values(), *_OF_HTTP.values(), _DEFECT)})
"""Every `code` of an answer to what could be read as a request (`http/protocol.py` answers the rest)."""

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
    500: "Internal Server Error",
    503: "Service Unavailable",
}
"""As RFC 9110 spells them; Python's own table changes from version to version."""

RETRY_AFTER = "1"  # seconds
_PASSING = {ANSWERS[StorageUnavailable].code, ANSWERS[IdentityUnavailable].code}


def _in_user_contract(scope: Scope) -> bool:
    route = scope.get("route")
    return route is not None and route.path.startswith("/api/{user_id}/")


class Errors:
    """Answers whatever is raised further in and has not been answered. Stands inside CORS, so browsers may read it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, note_start)
        except ClientDisconnect:
            return  # nobody is left to be answered
        except Exception as failure:
            if started and isinstance(failure, DomainError):  # a list that breaks off: the server hangs up
                scope["state"]["code"] = ANSWERS[type(failure)].code
                return
            if started or scope["type"] != "http":
                raise
            await _answer(scope, failure)(scope, receive, send)


def _answer(scope: Scope, failure: Exception) -> Response:
    match failure:
        case RequestValidationError():
            return _problem(
                scope, _in_contract(scope, InvalidValue), errors=[_invalid(error) for error in failure.errors()]
            )
        case InvalidValue():
            errors = [{"field": failure.field, "message": str(failure)}]
            return _problem(scope, _in_contract(scope, InvalidValue), errors=errors)
        case WrongCredentialType():
            return _problem(scope, ANSWERS[WrongCredentialType], hint=str(failure))
        case DomainError():
            return _problem(scope, _in_contract(scope, type(failure)))
        case HTTPException() if failure.status_code in _OF_HTTP:
            return _problem(scope, _OF_HTTP[failure.status_code], headers=failure.headers)
        case _:
            _log.error("defect", request_id=_request_id(scope), exc_info=failure)
            return _problem(scope, _DEFECT)


def _in_contract(scope: Scope, failure: type[DomainError]) -> Answer:
    answer = ANSWERS[failure]
    if _in_user_contract(scope) and failure in STATUS_IN_USER_CONTRACT:
        return replace(answer, status=STATUS_IN_USER_CONTRACT[failure])
    return answer


def _invalid(error: Any) -> dict[str, str]:
    """One fault, named by its field. Never with what was sent: it may be huge, secret or impossible to write down."""
    where, reason = error["loc"][1:], error.get("ctx", {}).get("error")
    return {
        "field": str(where[0]) if where else str(error["loc"][0]),
        "message": str(reason) if isinstance(reason, InvalidValue) else error["msg"],
    }


def body(answer: Answer, request_id: str, **more: str | Sequence[Mapping[str, str]]) -> bytes:
    """RFC 9457, with what clients of either contract look for."""
    problem = {
        "status": answer.status,
        "title": TITLES[answer.status],
        "code": answer.code,
        "detail": answer.detail,
        "error": answer.detail,
        "request_id": request_id,
        **more,
    }
    return orjson.dumps(problem)


def _problem(
    scope: Scope, answer: Answer, *, headers: Mapping[str, str] | None = None, **more: str | Sequence[Mapping[str, str]]
) -> Response:
    scope["state"]["code"] = answer.code  # for the request log, which counts errors
    wanted = ",".join(Headers(scope=scope).getlist("accept")).lower()
    response = Response(
        body(answer, _request_id(scope), **more),
        answer.status,
        {"Vary": "Accept", **(headers or {})},
        media_type="application/problem+json" if "application/problem+json" in wanted else "application/json",
    )
    if answer.status == 401:
        response.headers["WWW-Authenticate"] = _challenge(answer)
    if answer.code in _PASSING:
        response.headers["Retry-After"] = RETRY_AFTER
    return response


def _challenge(answer: Answer) -> str:
    """RFC 6750 section 3: no error code for a caller who sent no credentials."""
    if answer.code == ANSWERS[CredentialsMissing].code:
        return "Bearer"
    return f'Bearer error="invalid_token", error_description="{answer.detail}"'


def _request_id(scope: Scope) -> str:
    """What the request log gave this request."""
    return str(scope["state"]["request_id"])
