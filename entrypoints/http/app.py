"""The FastAPI application, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware import Middleware

from entrypoints.container import Container
from entrypoints.http import docs, health, openapi
from entrypoints.http.contracts import tasks, user_tasks
from entrypoints.http.cursors import Cursors
from entrypoints.http.express import App
from entrypoints.http.json_body import BodyLimit
from entrypoints.http.middleware.authentication import Authentication
from entrypoints.http.middleware.cors import Cors
from entrypoints.http.middleware.request_log import RequestLog
from entrypoints.http.problem import Errors
from entrypoints.observability.request_metrics import RequestCounts


def create(container: Container, counts: RequestCounts | None = None) -> FastAPI:
    """The application on the container's adapters, which its lifespan warms up and closes. `counts` counts requests."""
    app = App(
        title="Tasks",
        version=version("todo-backend"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda _: _lifespan(container),
        # Flat, because every level of routers costs time. The second contract comes first: its addresses
        # are the narrower ones, and a user may be called "tasks".
        routes=[*user_tasks.router.routes, *tasks.router.routes, *health.router.routes, *docs.routes()],
        middleware=[
            Middleware(RequestLog, counts=counts),
            Middleware(Cors, origins=container.settings().origins),
            Middleware(Errors),
            Middleware(Authentication, identity=container.identity()),
            Middleware(BodyLimit),
        ],
    )
    app.state.todo_list = container.todo_list
    app.state.cursors = Cursors(container.settings().cursor_key)
    app.state.ping = container.ping
    app.state.complete_toggles = container.settings().complete_toggles
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(container: Container) -> AsyncIterator[None]:
    jwks = container.jwks()
    if jwks:
        jwks.refresh()
    yield
    if jwks:
        await jwks.close()
    await container.pool().close()
