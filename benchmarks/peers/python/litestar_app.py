"""The same operations with Litestar, msgspec and asyncpg: its own JWT middleware, a pool, plain SQL.

REQUEST_LOG=on: one line of JSON per request, by its logging middleware and structlog.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from time import perf_counter
from typing import Annotated, Any, Literal

import asyncpg
from asyncpg import Pool, Record
from litestar import Litestar, Request, Response, get, patch, post, put
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.middleware.logging import LoggingMiddleware, LoggingMiddlewareConfig
from litestar.openapi.config import OpenAPIConfig
from litestar.params import Parameter
from litestar.plugins.structlog import StructlogConfig, StructlogPlugin
from litestar.security.jwt import JWTAuth, Token
from litestar.types import Scope, Send
from msgspec import UNSET, Meta, Struct, UnsetType

Title = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
Description = Annotated[str, Meta(max_length=1000)]
TaskId = Annotated[int, Parameter(ge=1, le=2**53 - 1)]
COLUMNS = "id, user_id, title, description, completed, created_at, updated_at"


class Task(Struct):
    id: int
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime
    status: Literal["complete", "incomplete"]


class NewTask(Struct):
    title: Title
    description: Description | None = None
    completed: bool = False


class Changes(Struct):
    title: Title | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    completed: bool | UnsetType = UNSET


def shown(row: Record) -> Task:
    return Task(*row, "complete" if row["completed"] else "incomplete")


def found(row: Record | None) -> Task:
    if row is None:
        raise NotFoundException("Task not found")
    return shown(row)


@get("/api/tasks")
async def list_tasks(pool: Pool, request: Request[str, Token, State]) -> list[Task]:
    mine = f"SELECT {COLUMNS} FROM tasks WHERE user_id = $1 ORDER BY user_id, id"
    return [shown(row) for row in await pool.fetch(mine, request.user)]


@get("/api/tasks/{task_id:int}")
async def get_task(task_id: TaskId, pool: Pool, request: Request[str, Token, State]) -> Task:
    one = f"SELECT {COLUMNS} FROM tasks WHERE user_id = $1 AND id = $2"
    return found(await pool.fetchrow(one, request.user, task_id))


@post("/api/tasks")
async def create_task(data: NewTask, pool: Pool, request: Request[str, Token, State]) -> Response[Task]:
    add = f"""INSERT INTO tasks (user_id, title, description, completed, created_at, updated_at)
        VALUES ($1, $2, $3, $4, now(), now()) RETURNING {COLUMNS}"""
    task = shown(await pool.fetchrow(add, request.user, data.title.strip(), data.description, data.completed))
    return Response(task, headers={"Location": f"/api/tasks/{task.id}"})


@put("/api/tasks/{task_id:int}")
async def edit_task(task_id: TaskId, data: Changes, pool: Pool, request: Request[str, Token, State]) -> Task:
    """Changes the given fields; null clears the description."""
    edit = f"""UPDATE tasks SET title = coalesce($3, title), completed = coalesce($4, completed),
        description = CASE WHEN $5 THEN $6 ELSE description END, updated_at = now()
        WHERE user_id = $1 AND id = $2 RETURNING {COLUMNS}"""
    title = None if data.title is UNSET else data.title.strip()
    completed = None if data.completed is UNSET else data.completed
    described = data.description is not UNSET
    description = data.description if described else None
    return found(await pool.fetchrow(edit, request.user, task_id, title, completed, described, description))


@patch("/api/tasks/{task_id:int}/complete")
async def complete_task(task_id: TaskId, pool: Pool, request: Request[str, Token, State]) -> Task:
    toggle = f"""UPDATE tasks SET completed = NOT completed, updated_at = now()
        WHERE user_id = $1 AND id = $2 RETURNING {COLUMNS}"""
    return found(await pool.fetchrow(toggle, request.user, task_id))


class RequestLog(LoggingMiddleware):
    """Its own lines have the request's fields in one, and the response's in another."""

    def create_send_wrapper(self, scope: Scope, send: Send) -> Send:
        scope["state"]["started"] = perf_counter()
        return super().create_send_wrapper(scope, send)

    def extract_response_data(self, scope: Scope) -> dict[str, Any]:
        milliseconds = (perf_counter() - scope["state"]["started"]) * 1000
        request = {"method": scope["method"], "path": scope["path"], "milliseconds": milliseconds}
        return {**super().extract_response_data(scope), **request}


async def user_of(token: Token, _connection: Any) -> str:
    return token.sub


@asynccontextmanager
async def connected(app: Litestar) -> AsyncIterator[None]:
    async with asyncpg.create_pool() as pool:  # 10 connections; the address is in PGHOST, PGPORT, PGUSER, PGDATABASE
        app.state.pool = pool
        yield


async def the_pool(state: State) -> Pool:
    return state.pool


authentication = JWTAuth[str](
    retrieve_user_handler=user_of,
    token_secret=os.environ["JWT_KEY"],
    algorithm=os.environ["JWT_ALGORITHM"],
    accepted_issuers=[os.environ["JWT_ISSUER"]],
    accepted_audiences=[os.environ["JWT_AUDIENCE"]],
)

one_line = LoggingMiddlewareConfig(
    request_log_fields=(), response_log_fields=("status_code",), middleware_class=RequestLog
)
logging = [StructlogPlugin(StructlogConfig(middleware_logging_config=one_line))]

app = Litestar(
    route_handlers=[list_tasks, get_task, create_task, edit_task, complete_task],
    dependencies={"pool": Provide(the_pool)},
    lifespan=[connected],
    on_app_init=[authentication.on_app_init],
    plugins=logging if os.environ.get("REQUEST_LOG") == "on" else [],
    openapi_config=OpenAPIConfig(title="Tasks", version="1"),
)
