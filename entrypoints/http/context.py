"""What a request and its application carry, typed, in one place."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Scope

from application.todo_list import TodoList
from domain.values import UserId

_KEY = "todo.context"


@dataclass(slots=True)
class RequestContext:
    """What the middleware finds out about one request; the request log writes it down."""

    request_id: str
    status: int = 0
    """Of the response, once it has begun."""
    caller: UserId | None = None
    error_code: str | None = None
    trace_id: str | None = None

    def attach(self, scope: Scope) -> None:
        scope[_KEY] = self


def context(scope: Scope) -> RequestContext:
    attached: RequestContext = scope[_KEY]
    return attached


@dataclass(frozen=True, slots=True)
class Services:
    """What routes need from the composition root. `app.state.services` holds it."""

    todo_list: Callable[[UserId], TodoList]
    ping: Callable[[], Awaitable[None]]
    """Returns if the database is ready. Raises StorageUnavailable, whose message says why, for anybody to read."""
    complete_toggles: bool
    keep_unknown_members: bool


def services(request: Request) -> Services:
    held: Services = request.app.state.services
    return held
