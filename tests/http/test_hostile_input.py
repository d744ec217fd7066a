"""Hostile input, on real PostgreSQL: it is refused with the contract's status, or stored unchanged."""

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx2
import pytest
from dependency_injector.providers import Object
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from entrypoints.container import Container
from tests.http.conftest import Contract, assert_problem, bearer, client, invalid_fields

Client = httpx2.AsyncClient

NAUGHTY = [
    "undefined",
    "NULL",
    "true",
    "0x10",
    "1/0",
    "-1E+02",
    "\\",
    "'; DROP TABLE tasks; --",
    "1' OR '1'='1",
    "%s %(owner)s {0} ${jndi:ldap://x}",
    "<script>alert(1)</script>",
    "\"'`",
    "../../../etc/passwd",
    "\x1b[31mred\x1b[0m",
    "one\r\ntwo",
    "a\u2028b\u2029c",
    "\u202eright to left",
    "\ufeffmark",
    "\ufffe\uffff",
    "zero\u200bwidth\u200djoiner",
    "\u200b",  # invisible, but not whitespace
    "Z\u0351\u036b\u0343a\u0322lgo",
    "e\u0301 and é",
    "İıſß",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "\U0010ffff" * 200,
    "ﷺ" * 200,
    "\x01\x02\x7f\x80\x9f",
]

NOT_JSON = [
    b"",
    b" ",
    b"{",
    b"{]",
    b"{'title': 1}",
    b'{"title"}',
    b'{"title": }',
    b'{"title": "x",}',
    b'{"title": "x"} {}',
    b'{"title": "x"',
    b'{title: "x"}',
    b'{"title": "\x01"}',
    b'{"title": "\\x41"}',
    b'{"title": "\\u12"}',
    b'{"title": "\xff\xfe"}',
    b'{"title": "\xc0\xaf"}',
    b'{"title": "\xed\xa0\x80"}',
    b'{"title": 01}',
    b'{"title": .5}',
    b"\xef\xbb\xbf" + b'{"title": "x"}',
    '{"title": "x"}'.encode("utf-16"),
    '{"title": "x"}'.encode("utf-32"),
    b"// comment\n{}",
    b"[" * 60_000,
    b'{"a":' * 10_000,
    b"\x00",
]

NO_TASK = [
    b"[]",
    b"null",
    b"true",
    b'"title"',
    b"1e400",
    b'{"title": NaN}',
    b'{"title": Infinity}',
    b'{"title": -Infinity}',
    b'{"title": ' + b"9" * 400 + b"}",
    b'{"title": 1e9999}',
    b'{"title": {}}',
    b'{"title": [[[[]]]]}',
    b'{"title": "\\ud800"}',
    b'{"title": "\\udc00\\ud800"}',
    b'{"title": "\\u0000"}',
    b'{"title": "x", "completed": 1}',
    b'{"title": "x", "completed": "true"}',
    b'{"title": "x", "description": false}',
    b'{"title": "x", "title": null}',
    b'{"Title": "x"}',
    b'{"": "x"}',
]


@pytest.fixture
async def alice(wiring: Container, pool: Pool) -> AsyncIterator[Client]:
    wiring.tasks.override(Object(PostgresTaskRepository(Database(pool))))
    async with client(wiring, **bearer("alice")) as hers:
        yield hers


@pytest.mark.parametrize("body", [*NOT_JSON, *NO_TASK], ids=repr)
async def test_a_body_that_is_not_a_task_is_invalid_and_not_echoed(
    alice: Client, contract: Contract, body: bytes
) -> None:
    for method in ("POST", "PUT", "PATCH"):
        path = contract.alice_path + ("" if method == "POST" else "/1")
        response = await alice.request(method, path, content=body, headers={"Content-Type": "application/json"})
        if method != "POST" and body in (b'{"Title": "x"}', b'{"": "x"}'):
            assert response.status_code == 404, "unknown members are ignored, so the body is valid"
        else:
            assert invalid_fields(response, contract)
            assert len(response.content) < 1000
    assert (await alice.get(contract.alice_path)).json() == []


@pytest.mark.parametrize("text", NAUGHTY)
async def test_unusual_text_is_returned_unchanged(alice: Client, contract: Contract, text: str) -> None:
    created = await alice.post(contract.alice_path, json={"title": f"<{text}>"[:200], "description": text})
    found = (await alice.get(f"{contract.alice_path}/{created.json()['id']}")).json()
    assert (found["title"], found["description"]) == (f"<{text}>"[:200], text)
    assert (await alice.get(contract.alice_path)).json() == [found]


@given(
    body=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["title", "description", "completed", "x"]), inner)
        ),
    ).map(lambda sent: json.dumps(sent).encode())
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_body_is_accepted_or_invalid(wiring: Container, body: bytes) -> None:
    async with client(wiring, **bearer("alice")) as alice:
        for path, invalid in (("/api/tasks", 422), ("/api/alice/tasks", 400)):
            response = await alice.post(path, content=body, headers={"Content-Type": "application/json"})
            assert response.status_code in (201, invalid)
            assert (await alice.patch(f"{path}/1/complete", content=body)).status_code in (200, 404, invalid)


IDS = [
    "0",
    "-1",
    "+1",
    "01",
    "1e3",
    "0x10",
    "1_0",
    "%201",
    "1%20",
    "\u0661",
    "\uff11",
    "1.0",
    "%00",
    "1%00",
    "1%0A",
    "NaN",
    "",
    "9" * 400,
    str(2**53),
    str(2**63),
    "1;2",
    "1,2",
    "..",
    "%2e%2e",
    "1%2F2",
]


@pytest.mark.parametrize("task_id", IDS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_a_malformed_id_is_a_client_error(alice: Client, contract: Contract, task_id: str, method: str) -> None:
    response = await alice.request(method, f"{contract.alice_path}/{task_id}", json={} if method[0] == "P" else None)
    assert response.status_code in (contract.invalid, 404, 405)


USERS = [
    " ",
    "a b",
    "a/b",
    "a%2Fb",
    "ü",
    "😀",
    "\n",
    "a\x00b",
    "tasks",
    "alice ",
    "Alice",
    "%",
    "x" * 1000,
    "'; --",
    "\u202e",
    "\u0661",
]


@pytest.mark.parametrize("user", USERS)
async def test_no_user_id_in_a_path_reaches_another_user_s_tasks(alice: Client, user: str) -> None:
    await alice.post("/api/tasks", json={"title": "secret"})
    path = f"/api/{quote(user, safe='')}/tasks"
    for method, below in (("GET", ""), ("POST", ""), ("GET", "/1"), ("DELETE", "/1"), ("PATCH", "/1/complete")):
        response = await alice.request(method, path + below, json={"title": "x"} if method == "POST" else None)
        assert response.status_code in (403, 404, 405, 422)
        assert "secret" not in response.text


@pytest.mark.parametrize(
    "query",
    [
        "completed=1",
        "completed=true&completed=no",
        "status=%00",
        "status=done",
        "completed=%F0%9F%98%80",
        "status=" + "x" * 5000,
        "completed=true&status=pending",
    ],
)
async def test_a_malformed_filter_is_invalid(alice: Client, contract: Contract, query: str) -> None:
    fields = invalid_fields(await alice.get(f"{contract.alice_path}?{query}"), contract)
    assert fields
    assert {*fields} <= {"completed", "status"}


@pytest.mark.parametrize("query", ["", "&", "=", "_t=1", "a[]=b", "%", "%zz", ";", "?", "x&x"])
async def test_unknown_query_parameters_are_ignored(alice: Client, contract: Contract, query: str) -> None:
    assert (await alice.get(f"{contract.alice_path}?{query}")).json() == []


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("Bearer", "missing_token"),
        ("Bearer ", "missing_token"),
        ("bearer x", "invalid_token"),
        ("Bearer a.b", "invalid_token"),
        ("Bearer a.b.c", "invalid_token"),
        ("Bearer " + "a" * 20_000, "invalid_token"),
        ("Basic YTpi", "missing_token"),
        ("x", "missing_token"),
        ("\xff", "missing_token"),
        ("Bearer ..", "invalid_token"),
        ("Bearer \t", "missing_token"),
        ("Bearer a b", "invalid_token"),
        ("Bearer null", "invalid_token"),
        ("Token x", "missing_token"),
    ],
)
async def test_a_malformed_authorization_header_is_401(
    wiring: Container, contract: Contract, value: str, code: str
) -> None:
    async with client(wiring) as anonymous:
        response = await anonymous.get(contract.alice_path, headers={b"Authorization": value.encode("latin-1")})
    assert_problem(response, 401, code)
    assert value not in response.text or len(value) < 7
