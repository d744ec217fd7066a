"""401 comes before everything else under `/api/`."""

import time

import httpx2
import pytest

from tests.http.conftest import bearer, is_problem, token

Client = httpx2.AsyncClient
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/tasks"),
        ("POST", "/api/tasks"),
        ("GET", "/api/tasks/1"),
        ("GET", "/api/tasks/nonsense"),
        ("PATCH", "/api/tasks/1/complete"),
        ("DELETE", "/api/alice/tasks/1"),
        ("GET", "/api/alice/tasks?completed=nonsense"),
        ("GET", "/api/nowhere"),
        ("GET", "/api/"),
        ("GET", "/api"),
        ("TRACE", "/api/tasks"),
        ("OPTIONS", "/api/tasks"),
        ("POST", "/api/tasks/1"),
    ],
)
async def test_nothing_under_api_is_answered_without_credentials(anybody: Client, method: str, path: str) -> None:
    answer = await anybody.request(method, path)
    assert is_problem(answer, 401, "missing_token")["detail"] == "Missing bearer token"
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_body_is_not_looked_at_before_the_credentials(anybody: Client) -> None:
    reads = 0

    async def body() -> object:
        nonlocal reads
        while True:
            reads += 1
            yield b"x" * 1024

    answer = await anybody.post("/api/tasks", content=body(), headers=JSON)  # type: ignore[arg-type]
    is_problem(answer, 401, "missing_token")
    assert reads <= 1
    for content in (b"malformed", b"x" * 100_000):
        is_problem(await anybody.post("/api/tasks", content=content, headers=JSON), 401, "missing_token")
    is_problem(
        await anybody.post("/api/tasks", content=b"x", headers={"Content-Type": "text/plain"}), 401, "missing_token"
    )


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YWxpY2U6c2VjcmV0", "Token abc", "eyJ.eyJ.sig", "Bearerabc"]
)
async def test_what_is_no_bearer_token_is_no_credentials(anybody: Client, header: str) -> None:
    answer = await anybody.get("/api/tasks", headers={"Authorization": header})
    is_problem(answer, 401, "missing_token")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("credentials", ["nonsense", "a.b.c", "a b", "....", "null", "undefined", "\xff", "x" * 8192])
async def test_a_bad_token_is_an_invalid_token(anybody: Client, credentials: str) -> None:
    headers = [(b"Authorization", b"Bearer " + credentials.encode("latin-1"))]
    answer = await anybody.get("/api/tasks", headers=headers)
    assert is_problem(answer, 401, "invalid_token")["detail"] == "Invalid or expired token"
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


async def test_an_expired_token_has_a_code_of_its_own(anybody: Client) -> None:
    answer = await anybody.get("/api/tasks", headers=bearer("alice", exp=int(time.time()) - 60))
    assert is_problem(answer, 401, "expired_token")["detail"] == "Invalid or expired token"
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


@pytest.mark.parametrize("session", ["a" * 32, "a" * 32 + ".c2lnbmF0dXJl+/=", "a" * 32 + ".c2ln%2Bw%3D%3D"])
async def test_a_session_token_is_told_apart_and_never_repeated(anybody: Client, session: str) -> None:
    answer = await anybody.get("/api/tasks", headers={"Authorization": f"Bearer {session}"})
    problem = is_problem(answer, 401, "session_token")
    assert "/api/auth/token" in problem["hint"]
    assert session not in answer.text


async def test_a_token_of_more_than_8_kib_is_refused(anybody: Client) -> None:
    fits = token("alice", avatar="x" * 4000)
    assert len(fits) < 8192
    assert (await anybody.get("/api/tasks", headers={"Authorization": f"Bearer {fits}"})).status_code == 200
    large = token("alice", avatar="x" * 8000)
    is_problem(await anybody.get("/api/tasks", headers={"Authorization": f"Bearer {large}"}), 401, "invalid_token")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer", "bEARER"])
async def test_the_scheme_may_be_written_in_any_case(anybody: Client, scheme: str) -> None:
    answer = await anybody.get("/api/tasks", headers={"Authorization": f"{scheme} {token('alice')}"})
    assert answer.status_code == 200


async def test_two_authorization_fields_are_refused(anybody: Client) -> None:
    headers = [("Authorization", f"Bearer {token('alice')}"), ("Authorization", f"Bearer {token('bob')}")]
    is_problem(await anybody.get("/api/tasks", headers=headers), 401, "invalid_token")


async def test_a_token_in_the_address_or_the_body_is_not_looked_at(anybody: Client) -> None:
    is_problem(await anybody.get(f"/api/tasks?access_token={token('alice')}"), 401, "missing_token")


async def test_with_a_token_an_unknown_address_is_404_and_a_wrong_method_405(alice: Client) -> None:
    for path in ("/api/nowhere", "/api", "/api/tasks/", "/api/tasks/1/2", "/api/alice/tasks/1/done", "/nowhere"):
        problem = is_problem(await alice.get(path), 404, "not_found")
        assert "token" not in problem["detail"]
    wrong = await alice.post("/api/tasks/1", json={})
    is_problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "DELETE, GET, PATCH, PUT"
    assert (await alice.put("/api/alice/tasks")).headers["allow"] == "GET, POST"


async def test_health_and_documentation_need_no_token(anybody: Client) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs"):
        assert (await anybody.get(path)).status_code == 200
