"""Isolation of users: no request of Bob's, on either contract, reads or changes Alice's tasks or causes a 5xx."""

import json
from typing import Any
from urllib.parse import quote

from dependency_injector.providers import Object
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from entrypoints.container import Container
from tests.http.conftest import bearer, client, shared
from tests.strategies import any_text

PRIVATE = "a private matter of hers"

encodings = st.sampled_from(
    [
        lambda text: quote(text, safe=""),
        lambda text: quote(text),
        lambda text: "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "replace")),
        lambda text: quote(quote(text, safe="")),
    ]
)
users = st.sampled_from(
    ["alice", "bob", "Alice", "ALICE", "alice ", "alice/", "../alice", "bob/../alice", "tasks", "1"]
)
bodies: st.SearchStrategy[dict[str, object] | None] = st.none() | st.dictionaries(
    st.sampled_from(["title", "description", "completed", "status", "user_id", "owner", "id", "sub"]),
    st.sampled_from(["alice", "complete", "incomplete", True, False, None, 1, 0, "x" * 300, [], {}]) | any_text,
    max_size=4,
)


KEY = {"Idempotency-Key": "hers"}
header_sets = st.sampled_from(
    [{}, {"Content-Type": "application/json"}, KEY, {"If-Match": "*"}, {"If-None-Match": "*"}, {"If-Match": '"1"'}]
)

RawRequest = tuple[str, str, bytes | None, dict[str, str]]


@st.composite
def requests(draw: st.DrawFn) -> RawRequest:
    """Method, path (with `ID` as placeholder for the id of Alice's task), body and headers."""
    user = draw(encodings)(draw(users))
    base = draw(st.sampled_from(["/api/tasks", f"/api/{user}/tasks", f"/api//{user}/tasks", f"/API/{user}/tasks"]))
    base = base.replace("tasks", draw(st.sampled_from(["tasks", "tasks", "todos"])))
    rest = draw(
        st.sampled_from(
            [
                *("", "/ID", "/ID/complete", "/ID/", "/%49D", "/ID%00", "/ID?user_id=alice", "/all", "/-ID"),
                *("/", "/ID/toggle", "/ID/status", "/ID/toggle/"),
            ]
        )
    )
    query = draw(
        st.sampled_from(
            [
                "",
                "?status=all",
                "?user_id=alice",
                "?owner=alice&completed=false",
                "?completed=%00",
                "?limit=1&sort=title&order=desc",
                "?sort=updated&limit=200",
                "?search=private",
                "?search=%25",
                "?all=true",
                "?offset=0&limit=1",
            ]
        )
    )
    body = draw(bodies)
    encoded = None if body is None else json.dumps(body).encode("utf-8", "surrogatepass")
    method = draw(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]))
    return method, base + rest + ("" if "?" in rest else query), encoded, draw(header_sets)


async def _check_isolation(wiring: Container, sent: list[RawRequest]) -> None:
    async with client(wiring) as web:
        hers, his = bearer("alice"), bearer("bob")
        secret = {"title": PRIVATE, "description": PRIVATE, "notes": PRIVATE}
        task: dict[str, Any] = (await web.post("/api/tasks", json=secret, headers={**hers, **KEY})).json()
        before = (await web.get("/api/tasks", headers=hers)).json()
        for method, path, body, headers in sent:
            url = path.replace("ID", str(task["id"]))
            response = await web.request(method, url, content=body, headers={**his, **headers})
            assert response.status_code < 500
            assert PRIVATE not in response.text
            if response.status_code < 300 and response.content:
                content = response.json()
                if isinstance(content, dict) and "tasks" in content:
                    content = content["tasks"]
                for returned in content if isinstance(content, list) else [content]:
                    assert returned.keys() in ({"count"}, set()) or returned["user_id"] == "bob"
        assert (await web.get("/api/tasks", headers=hers)).json() == before
        assert (await web.get(f"/api/tasks/{task['id']}", headers=hers)).json() == task


@given(sent=st.lists(requests(), min_size=1, max_size=8))
@settings(deadline=None, max_examples=100)
async def test_bob_cannot_read_or_change_alice_s_tasks(sent: list[RawRequest]) -> None:
    with shared() as wiring:
        await _check_isolation(wiring, sent)


@given(sent=st.lists(requests(), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50)
async def test_bob_cannot_read_or_change_alice_s_tasks_in_a_dialect(sent: list[RawRequest]) -> None:
    chosen = {"dialect": "words", "dialect_list": "tasks", "dialect_delete": "200", "keep_unknown_members": True}
    with shared(**chosen) as wiring:
        await _check_isolation(wiring, sent)


@given(sent=st.lists(requests(), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_bob_cannot_read_or_change_alice_s_tasks_in_postgresql(pool: Pool, sent: list[RawRequest]) -> None:
    with shared() as wiring:
        wiring.tasks.override(Object(PostgresTaskRepository(Database(pool))))
        await _check_isolation(wiring, sent)
