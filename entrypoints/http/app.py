"""The FastAPI application, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from entrypoints import settings
from entrypoints.container import Container
from entrypoints.http import docs, health, openapi, tasks, user_tasks
from entrypoints.http.authentication import Authentication
from entrypoints.http.body import BodyLimit
from entrypoints.http.cors import Cors
from entrypoints.http.errors import Errors, handle
from entrypoints.http.request_log import RequestLog
from entrypoints.logs import configure
from entrypoints.workers import leave_with_parent


def from_environment() -> FastAPI:
    """What uvicorn starts in each of its processes."""
    configure()
    leave_with_parent()
    return create(Container(settings=settings.load()))


def create(container: Container) -> FastAPI:
    """The application on the container's adapters, which its lifespan warms up and closes."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        published = container.published()
        if published:
            published.refresh()
        yield
        if published:
            await published.close()
        await container.pool().dispose()

    app = FastAPI(
        title="Tasks",
        version=version("todo-backend"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        # Flat, because every level of routers costs time. The second contract comes first: its addresses
        # are the narrower ones, and a user may be called "tasks".
        routes=[*user_tasks.router.routes, *tasks.router.routes, *health.router.routes, *docs.routes()],
        middleware=[
            Middleware(RequestLog),
            Middleware(Cors, origins=container.settings().origins),
            Middleware(Errors),
            Middleware(Authentication, identity=container.identity()),
            Middleware(BodyLimit),
        ],
        exception_handlers={HTTPException: handle, RequestValidationError: handle},
    )
    app.state.todo_list = container.todo_list
    app.state.ping = container.ping
    app.state.complete_toggles = container.settings().complete_toggles
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign]
    return app
