"""The application on adapters in memory (but real tokens), asked over ASGI."""

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
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


async def _answer() -> None:
    """A database that is there."""


def container(**chosen: Any) -> Container:
    made = Container(settings=settings(**chosen))
    made.tasks.override(Object(InMemoryTaskRepository()))
    made.ping.override(Callable(_answer))
    return made


@pytest.fixture
def wiring() -> Container:
    return container()


_chosen: dict[str, Any] = {"express": True}


@pytest.fixture(autouse=True, params=[True, False], ids=["express", "fastapi"])
def express(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every test here runs twice: with the express lane, and with FastAPI alone."""
    monkeypatch.setitem(_chosen, "express", request.param)
    return bool(request.param)


def application(wiring: Container, **options: Any) -> FastAPI:
    return create(wiring, **_chosen, **options)


def client(wiring: Container, **headers: str) -> httpx2.AsyncClient:
    # What is raised must have been answered first: with a 500, which tests can see.
    transport = httpx2.ASGITransport(application(wiring), raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://testserver", headers=headers)


@pytest.fixture
async def anybody(wiring: Container) -> AsyncIterator[httpx2.AsyncClient]:
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
    """What differs between the two, as the README's table has it."""

    of_alice: str
    of_bob: str
    longest_title: int
    longest_description: int
    invalid: int
    unavailable: int

    def __str__(self) -> str:
        return self.of_alice


CONTRACTS = (
    Contract("/api/tasks", "/api/tasks", 200, 1000, 422, 503),
    Contract("/api/alice/tasks", "/api/bob/tasks", 255, 5000, 400, 500),
)


@pytest.fixture(params=CONTRACTS, ids=str)
def contract(request: pytest.FixtureRequest) -> Contract:
    found: Contract = request.param
    return found


def is_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The body, after it was found to be the one that every error has."""
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["detail"] == problem["error"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert {"status", "title", "code", "detail", "error", "request_id"} <= problem.keys()
    assert problem.keys() <= {"status", "title", "code", "detail", "error", "request_id", "errors", "hint"}
    return problem


def faults(answer: httpx2.Response, contract: Contract) -> list[str]:
    """The fields that were found to be invalid."""
    problem = is_problem(answer, contract.invalid, "invalid_input")
    assert all(fault.keys() == {"field", "message"} for fault in problem["errors"])
    return [fault["field"] for fault in problem["errors"]]
