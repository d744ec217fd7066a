"""Whatever a client sends, the express lane and FastAPI alone respond with the same bytes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from dependency_injector.providers import Object
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.in_memory import InMemoryTaskRepository
from entrypoints.http.app import create
from tests.http.conftest import bearer, container

NOON = datetime(2026, 1, 4, 12, tzinfo=UTC)

_ids = st.sampled_from(["1", "2", "3", "0", "01", "x", "tasks", "9" * 17, "%00", "1%0A", "%2F"]) | st.integers(
    1, 4
).map(str)
_users = st.sampled_from(["alice", "bob", "Alice", "tasks", "", "%0A", "a%2Fb"])
_prefixes = st.just("/api/tasks") | _users.map(lambda user: f"/api/{user}/tasks")
_paths = st.builds(
    lambda prefix, rest: prefix + rest,
    _prefixes,
    st.sampled_from(["", "/", "/complete"])
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
    st.sampled_from(["title", "description", "completed", "status", "id", "other"]),
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


class _Server:
    """An application with a repository of its own."""

    def __init__(self, *, express: bool) -> None:
        self._wiring = container()
        self._wiring.now.override(Object(lambda: NOON))
        self._app = create(self._wiring, express=express)

    def client(self) -> httpx2.AsyncClient:
        """A client of an empty list."""
        self._wiring.tasks.override(Object(InMemoryTaskRepository()))
        transport = httpx2.ASGITransport(self._app, raise_app_exceptions=False)
        headers: Mapping[str, str] = {**bearer("alice"), "X-Request-ID": "same"}
        return httpx2.AsyncClient(transport=transport, base_url="http://testserver", headers=headers)


@pytest.fixture(scope="module")
def servers() -> tuple[_Server, _Server]:
    """Made once: that takes longer than all requests of an example."""
    return _Server(express=True), _Server(express=False)


@pytest.fixture(autouse=True)
def express() -> None:
    """In place of the fixture that runs every test twice: this one runs both."""


@given(requests=st.lists(_requests, min_size=1, max_size=8))
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
async def test_both_respond_with_the_same_bytes(
    servers: tuple[_Server, _Server], requests: list[tuple[Any, ...]]
) -> None:
    async with servers[0].client() as fast, servers[1].client() as plain:
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
