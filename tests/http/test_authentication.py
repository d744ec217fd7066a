"""Authentication of requests: under `/api/`, 401 precedes every other error."""

import time

import httpx2
import pytest

from tests.http.conftest import assert_problem, bearer, token

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
async def test_every_path_under_api_requires_credentials(anonymous: Client, method: str, path: str) -> None:
    response = await anonymous.request(method, path)
    assert assert_problem(response, 401, "missing_token")["detail"] == "Missing bearer token"
    assert response.headers["www-authenticate"] == "Bearer"


async def test_the_body_is_not_read_before_authentication(anonymous: Client) -> None:
    reads = 0

    async def body() -> object:
        nonlocal reads
        while True:
            reads += 1
            yield b"x" * 1024

    response = await anonymous.post("/api/tasks", content=body(), headers=JSON)  # type: ignore[arg-type]
    assert_problem(response, 401, "missing_token")
    assert reads <= 1
    for content in (b"malformed", b"x" * 100_000):
        assert_problem(await anonymous.post("/api/tasks", content=content, headers=JSON), 401, "missing_token")
    assert_problem(
        await anonymous.post("/api/tasks", content=b"x", headers={"Content-Type": "text/plain"}), 401, "missing_token"
    )


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YWxpY2U6c2VjcmV0", "Token abc", "eyJ.eyJ.sig", "Bearerabc"]
)
async def test_a_header_without_a_bearer_token_is_a_missing_token(anonymous: Client, header: str) -> None:
    response = await anonymous.get("/api/tasks", headers={"Authorization": header})
    assert_problem(response, 401, "missing_token")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("credentials", ["nonsense", "a.b.c", "a b", "....", "null", "undefined", "\xff", "x" * 8192])
async def test_a_malformed_token_is_an_invalid_token(anonymous: Client, credentials: str) -> None:
    headers = [(b"Authorization", b"Bearer " + credentials.encode("latin-1"))]
    response = await anonymous.get("/api/tasks", headers=headers)
    assert assert_problem(response, 401, "invalid_token")["detail"] == "Invalid or expired token"
    assert response.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


async def test_an_expired_token_has_its_own_code(anonymous: Client) -> None:
    response = await anonymous.get("/api/tasks", headers=bearer("alice", exp=int(time.time()) - 60))
    assert assert_problem(response, 401, "expired_token")["detail"] == "Invalid or expired token"
    assert response.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


@pytest.mark.parametrize("session", ["a" * 32, "a" * 32 + ".c2lnbmF0dXJl+/=", "a" * 32 + ".c2ln%2Bw%3D%3D"])
async def test_a_session_token_gets_a_hint_and_is_never_echoed(anonymous: Client, session: str) -> None:
    response = await anonymous.get("/api/tasks", headers={"Authorization": f"Bearer {session}"})
    problem = assert_problem(response, 401, "session_token")
    assert "/api/auth/token" in problem["hint"]
    assert session not in response.text


async def test_a_token_over_8_kib_is_refused(anonymous: Client) -> None:
    accepted = token("alice", avatar="x" * 4000)
    assert len(accepted) < 8192
    assert (await anonymous.get("/api/tasks", headers={"Authorization": f"Bearer {accepted}"})).status_code == 200
    large = token("alice", avatar="x" * 8000)
    assert_problem(
        await anonymous.get("/api/tasks", headers={"Authorization": f"Bearer {large}"}), 401, "invalid_token"
    )


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer", "bEARER"])
async def test_the_scheme_is_case_insensitive(anonymous: Client, scheme: str) -> None:
    response = await anonymous.get("/api/tasks", headers={"Authorization": f"{scheme} {token('alice')}"})
    assert response.status_code == 200


async def test_two_authorization_headers_are_refused(anonymous: Client) -> None:
    headers = [("Authorization", f"Bearer {token('alice')}"), ("Authorization", f"Bearer {token('bob')}")]
    assert_problem(await anonymous.get("/api/tasks", headers=headers), 401, "invalid_token")


async def test_a_token_in_the_query_or_the_body_is_ignored(anonymous: Client) -> None:
    assert_problem(await anonymous.get(f"/api/tasks?access_token={token('alice')}"), 401, "missing_token")
    body = {"title": "Buy milk", "access_token": token("alice")}
    assert_problem(await anonymous.post("/api/tasks", json=body), 401, "missing_token")


async def test_with_a_token_an_unknown_path_is_404_and_a_wrong_method_is_405(alice: Client) -> None:
    for path in ("/api/nowhere", "/api", "/api/tasks/", "/api/tasks/1/2", "/api/alice/tasks/1/done", "/nowhere"):
        problem = assert_problem(await alice.get(path), 404, "not_found")
        assert "token" not in problem["detail"]
    wrong_method = await alice.post("/api/tasks/1", json={})
    assert_problem(wrong_method, 405, "method_not_allowed")
    assert wrong_method.headers["allow"] == "DELETE, GET, HEAD, PATCH, PUT"
    assert (await alice.put("/api/alice/tasks")).headers["allow"] == "DELETE, GET, HEAD, POST"
    assert (await alice.delete("/api/alice/tasks")).headers["allow"] == "GET, HEAD, POST"


async def test_health_and_documentation_need_no_token(anonymous: Client) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs"):
        assert (await anonymous.get(path)).status_code == 200
