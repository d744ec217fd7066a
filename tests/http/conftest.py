"""Clients of the application over ASGI, with the in-memory repository and real tokens."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx2
import jwt
import pytest
from dependency_injector.providers import Callable, Object
from fastapi import FastAPI

from adapters.in_memory import InMemoryTaskRepository
from entrypoints.container import Container
from entrypoints.http.app import create
from entrypoints.observability.logs import configure
from entrypoints.settings import Settings

configure()

SECRET = "a secret that only the tests and Better Auth know"
FRONTEND = "https://app.example.com"


def token(user: object, **claims: object) -> str:
    return jwt.encode({"sub": user, "exp": int(time.time()) + 600, **claims}, SECRET, "HS256")


def bearer(user: object, **claims: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user, **claims)}"}


def settings(**chosen: Any) -> Settings:
    defaults: Mapping[str, Any] = {"better_auth_secret": SECRET, "better_auth_url": f"{FRONTEND}/api/auth"}
    return Settings(_env_file=None, **{**defaults, **chosen})


async def _reachable() -> None:
    """The health check of a database that is reachable."""


def container(**chosen: Any) -> Container:
    created = Container(settings=settings(**chosen))
    created.tasks.override(Object(InMemoryTaskRepository()))
    created.ping.override(Callable(_reachable))
    return created


_shared: dict[tuple[tuple[str, Any], ...], Container] = {}
"""Wirings that tests share, by their settings, each with one application for each option: making one takes longer than
most tests."""


@contextmanager
def shared(**chosen: Any) -> Iterator[Container]:
    """A wiring with a repository of the test's own. What a test overrides is undone."""
    key = tuple(sorted(chosen.items()))
    if key not in _shared:
        _shared[key] = container(**chosen)
    wiring = _shared[key]
    wiring.tasks.override(Object(InMemoryTaskRepository()))
    try:
        yield wiring
    finally:
        for provider in (wiring.tasks, wiring.ping, wiring.now, wiring.identity):
            provider.reset_override()
        wiring.ping.override(Callable(_reachable))


@pytest.fixture
def wiring() -> Iterator[Container]:
    with shared() as wiring:
        yield wiring


_options: dict[str, Any] = {"express": True}


@pytest.fixture(autouse=True, params=[True, False], ids=["express", "fastapi"])
def express(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every test here runs twice: with the express lane, and with FastAPI alone."""
    monkeypatch.setitem(_options, "express", request.param)
    return bool(request.param)


def application(wiring: Container, **options: Any) -> FastAPI:
    return create(wiring, **_options, **options)


@cache
def _shared_application(wiring: Container, express: bool) -> FastAPI:
    return create(wiring, express=express)


def client(wiring: Container, **headers: str) -> httpx2.AsyncClient:
    is_shared = any(wiring is each for each in _shared.values())
    app = _shared_application(wiring, _options["express"]) if is_shared else application(wiring)
    # Exceptions become a 500 response, which is what tests assert.
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://testserver", headers=headers)


@pytest.fixture
async def anonymous(wiring: Container) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(wiring) as without_token:
        yield without_token


@pytest.fixture
async def alice(wiring: Container) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(wiring, **bearer("alice")) as hers:
        yield hers


@pytest.fixture
async def bob(wiring: Container) -> AsyncIterator[httpx2.AsyncClient]:
    async with client(wiring, **bearer("bob")) as his:
        yield his


@dataclass(frozen=True)
class Contract:
    """The differences between the two contracts: paths, limits of text in characters, and statuses."""

    alice_path: str
    bob_path: str
    longest_title: int
    longest_description: int
    invalid: int
    unavailable: int

    def __str__(self) -> str:
        return self.alice_path


CONTRACTS = (
    Contract("/api/tasks", "/api/tasks", 200, 1000, 422, 503),
    Contract("/api/alice/tasks", "/api/bob/tasks", 255, 5000, 400, 500),
)


@pytest.fixture(params=CONTRACTS, ids=str)
def contract(request: pytest.FixtureRequest) -> Contract:
    param: Contract = request.param
    return param


def assert_problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Checks status, code and members of an error response, and returns its body."""
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["detail"] == problem["error"] == problem["message"]
    assert problem["request_id"] == response.headers["x-request-id"]
    required = {"status", "title", "code", "detail", "error", "message", "request_id"}
    assert required <= problem.keys() <= {*required, "errors", "hint"}
    return problem


def invalid_fields(response: httpx2.Response, contract: Contract) -> list[str]:
    """Checks that the response is an `invalid_input` error, and returns the names of the invalid fields."""
    problem = assert_problem(response, contract.invalid, "invalid_input")
    assert all(error.keys() == {"field", "message"} for error in problem["errors"])
    assert problem["detail"] == " ".join(problem["errors"][0].values())
    return [error["field"] for error in problem["errors"]]
