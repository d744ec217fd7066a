"""Whatever a client sends, the express lane and FastAPI alone respond with the same bytes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx2
import pytest
from dependency_injector.providers import Object
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.in_memory import InMemoryTaskRepository
from entrypoints.container import Container
from entrypoints.http.app import create
from tests.http.conftest import bearer, container

NOON = datetime(2026, 1, 4, 12, tzinfo=UTC)

_ids = st.sampled_from(["1", "2", "3", "0", "01", "x", "tasks", "9" * 17, "%00", "1%0A", "%2F"]) | st.integers(
    1, 4
).map(str)
_users = st.sampled_from(["alice", "bob", "Alice", "tasks", "", "%0A", "a%2Fb"])
_prefixes = st.sampled_from(["/api/tasks", "/api/todos"]) | _users.map(lambda user: f"/api/{user}/tasks")
_paths = st.builds(
    lambda prefix, rest: prefix + rest,
    _prefixes,
    st.sampled_from(["", "/", "/complete"])
    | _ids.map(lambda id_: f"/{id_}/toggle")
    | _ids.map(lambda id_: f"/{id_}/status/")
    | _ids.map(lambda id_: f"/{id_}")
    | _ids.map(lambda id_: f"/{id_}/complete")
    | _ids.map(lambda id_: f"/{id_}/complete/"),
) | st.sampled_from(["/", "/healthz", "/api", "/api/", "/docs", "/nowhere", "/API/tasks"])
_words = st.sampled_from(
    ["", "true", "false", "done", "pending", "title", "desc", "0", "1", "2", "201", "x", "%00", "é"]
)
_parameters = st.sampled_from(
    [
        "completed",
        "status",
        "search",
        "sort",
        "sort_by",
        "order",
        "limit",
        "cursor",
        "offset",
        "skip",
        "all",
        "_t",
        "id",
    ]
)
_queries = st.lists(st.builds(lambda name, word: f"{name}={word}", _parameters, _words), max_size=4).map("&".join)
_tags = st.sampled_from(["*", '"0"', '"64790c7fe3200"', 'W/"64790c7fe3200"', "x", "", '"a", "b"', '"é"'])
_headers = st.lists(
    st.tuples(st.sampled_from(["If-Match", "If-None-Match", "Idempotency-Key"]), _tags)
    | st.sampled_from([("Accept", "application/problem+json"), ("Content-Type", "text/plain"), ("Cookie", "a=b")])
    | st.just(("Origin", "https://app.example.com")),
    max_size=3,
)
_members = st.dictionaries(
    st.sampled_from(["title", "description", "completed", "status", "is_completed", "id", "other"]),
    st.none()
    | st.booleans()
    | st.sampled_from(["Buy milk", "", " ", "complete", "incomplete", "x" * 300])
    | st.just(1.5),
    max_size=4,
)
_bodies = st.one_of(
    st.none(),
    _members.map(lambda members: httpx2.Request("POST", "http://x", json=members).read()),
    st.sampled_from([b"", b" ", b"{", b"[]", b"null", b'{"title": NaN}', b"\xff", b'{"title": "a", "title": "b"}']),
)
_requests = st.tuples(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]),
    _paths,
    _queries,
    _headers,
    _bodies,
)


@cache
def _application(express: bool, chosen: frozenset[tuple[str, object]]) -> tuple[Container, FastAPI]:
    wiring = container(**dict(chosen))
    wiring.now.override(Object(lambda: NOON))
    return wiring, create(wiring, express=express)


def _client(express: bool, **chosen: object) -> httpx2.AsyncClient:
    """On an empty repository."""
    wiring, app = _application(express, frozenset(chosen.items()))
    wiring.tasks.reset_override()
    wiring.tasks.override(Object(InMemoryTaskRepository()))
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    headers: Mapping[str, str] = {**bearer("alice"), "X-Request-ID": "same"}
    return httpx2.AsyncClient(transport=transport, base_url="http://testserver", headers=headers)


@pytest.fixture(autouse=True)
def express() -> None:
    """In place of the fixture that runs every test twice: this one runs both."""


@given(requests=st.lists(_requests, min_size=1, max_size=8))
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
async def test_both_respond_with_the_same_bytes(requests: list[tuple[Any, ...]]) -> None:
    await _compare(requests)


@given(requests=st.lists(_requests, min_size=1, max_size=8))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
async def test_both_respond_with_the_same_bytes_in_a_dialect(requests: list[tuple[Any, ...]]) -> None:
    await _compare(requests, dialect="words", dialect_list="tasks", dialect_delete="200", keep_unknown_members=True)


async def _compare(requests: list[tuple[Any, ...]], **chosen: object) -> None:
    async with _client(express=True, **chosen) as fast, _client(express=False, **chosen) as plain:
        for client in (fast, plain):
            for title in ("Buy milk", "Buy bread"):
                assert (await client.post("/api/tasks", json={"title": title})).status_code == 201
        for method, path, query, headers, body in requests:
            url = f"{path}?{query}" if query else path
            sent = [(name, value.encode()) for name, value in headers]
            first, second = [await client.request(method, url, headers=sent, content=body) for client in (fast, plain)]
            assert (first.status_code, first.content) == (second.status_code, second.content), (method, url)
            assert sorted(first.headers.multi_items()) == sorted(second.headers.multi_items()), (method, url)
            assert first.status_code < 500, (method, url)
