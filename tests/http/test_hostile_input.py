"""Input that was made to hurt, on real PostgreSQL: it is refused in the contract's own words, or kept as it came."""

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
from tests.http.conftest import Contract, bearer, client, faults, is_problem

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
async def test_a_body_that_is_no_task_is_invalid_and_not_repeated(
    alice: Client, contract: Contract, body: bytes
) -> None:
    for method in ("POST", "PUT", "PATCH"):
        path = contract.of_alice + ("" if method == "POST" else "/1")
        answer = await alice.request(method, path, content=body, headers={"Content-Type": "application/json"})
        if method != "POST" and body in (b'{"Title": "x"}', b'{"": "x"}'):
            assert answer.status_code == 404, "members that are not known are ignored, so nothing is wrong with it"
        else:
            assert faults(answer, contract)
            assert len(answer.content) < 1000
    assert (await alice.get(contract.of_alice)).json() == []


@pytest.mark.parametrize("text", NAUGHTY)
async def test_awkward_text_comes_back_as_it_was_sent(alice: Client, contract: Contract, text: str) -> None:
    made = await alice.post(contract.of_alice, json={"title": f"<{text}>"[:200], "description": text})
    found = (await alice.get(f"{contract.of_alice}/{made.json()['id']}")).json()
    assert (found["title"], found["description"]) == (f"<{text}>"[:200], text)
    assert (await alice.get(contract.of_alice)).json() == [found]


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
async def test_whatever_is_sent_is_taken_or_invalid(wiring: Container, body: bytes) -> None:
    async with client(wiring, **bearer("alice")) as alice:
        for path, invalid in (("/api/tasks", 422), ("/api/alice/tasks", 400)):
            answer = await alice.post(path, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (201, invalid)
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
async def test_what_is_no_id_is_a_client_s_error(alice: Client, contract: Contract, task_id: str, method: str) -> None:
    answer = await alice.request(method, f"{contract.of_alice}/{task_id}", json={} if method[0] == "P" else None)
    assert answer.status_code in (contract.invalid, 404, 405)


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
async def test_whatever_a_user_is_called_nobody_else_s_tasks_are_reached(alice: Client, user: str) -> None:
    await alice.post("/api/tasks", json={"title": "secret"})
    path = f"/api/{quote(user, safe='')}/tasks"
    for method, below in (("GET", ""), ("POST", ""), ("GET", "/1"), ("DELETE", "/1"), ("PATCH", "/1/complete")):
        answer = await alice.request(method, path + below, json={"title": "x"} if method == "POST" else None)
        assert answer.status_code in (403, 404, 405, 422)
        assert "secret" not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "completed=",
        "completed=1",
        "completed=true&completed=no",
        "status=%00",
        "status=done",
        "completed=%F0%9F%98%80",
        "status=" + "x" * 5000,
        "completed=true&status=pending",
    ],
)
async def test_what_is_no_filter_is_invalid(alice: Client, contract: Contract, query: str) -> None:
    assert set(faults(await alice.get(f"{contract.of_alice}?{query}"), contract)) <= {"completed", "status"}


@pytest.mark.parametrize("query", ["", "&", "=", "_t=1", "a[]=b", "%", "%zz", ";", "?", "x&x"])
async def test_what_else_is_in_a_query_is_ignored(alice: Client, contract: Contract, query: str) -> None:
    assert (await alice.get(f"{contract.of_alice}?{query}")).json() == []


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer ",
        "bearer x",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer " + "a" * 20_000,
        "Basic YTpi",
        "x",
        "\xff",
        "Bearer ..",
        "Bearer \t",
        "Bearer a b",
        "Bearer null",
        "Token x",
    ],
)
async def test_what_is_no_token_is_401(wiring: Container, contract: Contract, value: str) -> None:
    async with client(wiring) as anybody:
        answer = await anybody.get(contract.of_alice, headers={b"Authorization": value.encode("latin-1")})
    problem = is_problem(answer, 401, answer.json()["code"])
    assert value not in json.dumps(problem)[80:] or len(value) < 7
