"""The FastAPI application."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from entrypoints.container import Container
from entrypoints.http import docs, health, openapi, problem
from entrypoints.http.context import Services
from entrypoints.http.contracts import tasks, user_tasks
from entrypoints.http.dialects import contracts as dialects
from entrypoints.http.express import Express
from entrypoints.http.middleware.authentication import Authentication
from entrypoints.http.middleware.body_limit import BodyLimit
from entrypoints.http.middleware.cors import Cors
from entrypoints.http.middleware.errors import Errors
from entrypoints.http.middleware.fair_share import FairShare
from entrypoints.http.middleware.head import Head
from entrypoints.http.middleware.request_log import RequestLog
from entrypoints.observability.request_metrics import RequestCounts

CONTRACTS = (user_tasks, tasks)
"""In order of precedence, because a user may be called "tasks"."""


def create(
    container: Container,
    *,
    express: bool = True,
    counts: RequestCounts | None = None,
    tracing: Middleware | None = None,
) -> FastAPI:
    """The application on the container's adapters, which its lifespan warms up and closes.

    A dialect, if the settings choose one, takes the place of the contracts. `counts` counts requests. `tracing` is a
    middleware, which runs inside the request log. Without `express`, FastAPI runs every route.
    """
    settings = container.settings()
    contracts: Sequence[Any] = (
        dialects.contracts(settings.dialect, settings.dialect_list, settings.dialect_delete) or CONTRACTS
    )
    app = FastAPI(
        title="Tasks",
        description=openapi.DESCRIPTION,
        license_info={"name": "MIT", "identifier": "MIT"},
        version=version("todo-backend"),
        openapi_tags=[
            *({"name": part.CONTRACT.prefix, "description": part.CONTRACT.description} for part in reversed(contracts)),
            {"name": "health", "description": "For the operator of the process. Needs no token."},
        ],
        telemetry={"tracing": False, "metrics": False, "logs": False},  # `observability` has its own
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda _: _lifespan(container),
        exception_handlers={HTTPException: problem.handle, RequestValidationError: problem.handle},
        middleware=[
            Middleware(RequestLog, counts=counts, access_log=settings.access_log),
            *([tracing] if tracing else []),
            Middleware(Cors, origins=settings.origins),
            Middleware(Errors),
            Middleware(Authentication, identity=container.identity()),
            Middleware(FairShare),
            Middleware(BodyLimit),
            Middleware(Head),
            *([Middleware(Express)] if express else []),
        ],
    )
    for contract in contracts:
        app.include_router(contract.router)
    app.include_router(health.router)
    app.include_router(docs.router())
    app.state.services = Services(
        todo_list=container.todo_list,
        ping=container.ping,
        complete_toggles=settings.complete_toggles,
        keep_unknown_members=settings.keep_unknown_members,
    )
    app.openapi = partial(openapi.document, app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(container: Container) -> AsyncIterator[None]:
    primary = container.jwks()
    key_sets = [*([primary] if primary else []), *container.jwks_of_others().values()]
    for key_set in key_sets:
        key_set.refresh()
    yield
    for key_set in key_sets:
        await key_set.close()
    await container.pool().close()
