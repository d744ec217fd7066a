"""Every kind of token that a genuine Better Auth server issues, and its key rotation."""

import json
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.cli.conftest import Serving
from tests.e2e.conftest import Issuer

Run = Callable[..., tuple[Issuer, Serving]]


def header(token: str) -> dict[str, Any]:
    part = token.split(".")[0]
    decoded: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


def list_tasks(api: Serving, token: str) -> httpx2.Response:
    return httpx2.get(f"{api.address}/api/tasks", headers={"Authorization": f"Bearer {token}"}, timeout=30)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256", "PS256", "ES512"])
def test_a_new_user_can_use_the_api_with_every_signing_algorithm(run: Run, algorithm: str) -> None:
    issuer, api = run(ALG=algorithm)
    user = issuer.sign_up()
    token = user.token()
    assert header(token)["alg"] == algorithm
    with api.client(token) as client:
        created = client.post(f"/api/{user.id}/tasks", json={"title": "Buy milk"})
        assert created.status_code == 201
        assert created.json()["user_id"] == user.id
        assert client.get("/api/tasks").json() == [created.json()]
    with api.client(issuer.sign_up().token()) as other:
        assert other.get("/api/tasks").json() == []
        assert other.get(f"/api/{user.id}/tasks").status_code == 403


def test_a_session_token_is_refused_with_a_code_and_a_hint(run: Run) -> None:
    issuer, api = run()
    user = issuer.sign_up()
    signed = next(value for name, value in user.cookies.items() if name.endswith("session_token"))
    for session in (user.session, signed):
        response = list_tasks(api, session)
        assert (response.status_code, response.json()["code"]) == (401, "session_token")
        assert "/api/auth/token" in response.json()["hint"]


def test_an_e_mail_verification_token_is_refused(run: Run) -> None:
    issuer, api = run()
    issuer.sign_up()
    [token] = issuer.verification_tokens()
    assert header(token)["alg"] == "HS256"
    response = list_tasks(api, token)
    assert (response.status_code, response.json()["code"]) == (401, "invalid_token")


@pytest.mark.parametrize(("cookies", "algorithm"), [("secret", "HS256"), ("keys", "EdDSA")])
def test_a_cached_session_cookie_is_refused(run: Run, cookies: str, algorithm: str) -> None:
    issuer, api = run(COOKIES=cookies)
    user = issuer.sign_up()
    cached = next(value for name, value in user.cookies.items() if name.endswith("session_data"))
    assert header(cached)["alg"] == algorithm
    response = list_tasks(api, cached)
    assert (response.status_code, response.json()["code"]) == (401, "invalid_token")
    assert list_tasks(api, user.token()).status_code == 200


def test_deleting_a_user_deletes_their_tasks_first(run: Run) -> None:
    """As docs/how-to/erase-users.md shows."""
    issuer, api = run()
    user, other = issuer.sign_up(), issuer.sign_up()
    for each in (user, other):
        assert api.client(each.token()).post("/api/tasks", json={"title": "Buy milk"}).status_code == 201
    token = user.token()

    def delete() -> int:
        with issuer.client() as client:
            client.cookies.update(user.cookies)
            return client.post("/api/auth/delete-user", json={"password": "correct horse battery"}).status_code

    with issuer.client() as client:
        client.get("/api-is?http://127.0.0.1:1")
    assert delete() == 500, "the API cannot be reached: the user stays"
    assert len(list_tasks(api, token).json()) == 1
    with issuer.client() as client:
        client.get(f"/api-is?{api.address}")
    assert delete() == 200
    assert list_tasks(api, token).json() == []
    assert len(list_tasks(api, other.token()).json()) == 1
    with issuer.client() as client:
        client.cookies.update(user.cookies)
        assert client.get("/api/auth/token").status_code == 401, "the user is gone"


class Load:
    """Requests from four threads while the context is open: two reuse a token, two get a new one for each request."""

    def __init__(self, issuer: Issuer, api: Serving) -> None:
        self.user, self.api = issuer.sign_up(), api
        self.kids: set[str] = set()
        self.statuses: list[int] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=[fresh]) for fresh in (True, True, False, False)]

    def _work(self, fresh: bool) -> None:
        token = self.user.token()
        with httpx2.Client(base_url=self.api.address, timeout=30) as client:
            while not self._stopping.is_set():
                token = self.user.token() if fresh else token
                self.kids.add(header(token)["kid"])
                response = client.get("/api/tasks", headers={"Authorization": f"Bearer {token}"})
                self.statuses.append(response.status_code)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()


def test_no_valid_token_is_refused_while_keys_rotate_under_load(run: Run) -> None:
    issuer, api = run(ROTATION="7")
    deadline = time.monotonic() + 60
    with Load(issuer, api) as load:
        while len(load.kids) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
    assert len(load.kids) >= 3
    assert len(load.statuses) > 200
    assert set(load.statuses) == {200}


def test_cached_keys_survive_an_outage_of_better_auth_and_new_keys_are_fetched_after_it(run: Run) -> None:
    issuer, api = run()
    user = issuer.sign_up()
    used, unused = user.token(), user.token()
    assert list_tasks(api, used).status_code == 200
    issuer.kill()
    for token in (used, unused):
        assert list_tasks(api, token).status_code == 200
    issuer.start()
    fresh = issuer.sign_up().token()
    assert header(fresh)["kid"] != header(used)["kid"]
    assert list_tasks(api, fresh).status_code == 200


def test_a_server_started_before_better_auth_serves_once_it_is_reachable(run: Run) -> None:
    issuer, api = run()
    token = issuer.sign_up().token()
    issuer.kill()
    with api._todo.serve(BETTER_AUTH_URL=issuer.origin) as early:
        response = list_tasks(early, token)
        assert (response.status_code, response.json()["code"]) == (503, "identity_unavailable")
        assert int(response.headers["retry-after"]) > 0
        assert httpx2.get(f"{early.address}/healthz").status_code == 200
        issuer.start()
        fresh, deadline = issuer.sign_up().token(), time.monotonic() + 15
        while (response := list_tasks(early, fresh)).status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert response.status_code == 200
