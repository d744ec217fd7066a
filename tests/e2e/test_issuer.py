"""Everything that a genuine Better Auth server hands out, and what becomes of it."""

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


def ask(api: Serving, token: str) -> httpx2.Response:
    return httpx2.get(f"{api.address}/api/tasks", headers={"Authorization": f"Bearer {token}"}, timeout=30)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256", "PS256", "ES512"])
def test_whoever_signs_up_can_use_the_api_with_a_token_of_every_algorithm(run: Run, algorithm: str) -> None:
    issuer, api = run(ALG=algorithm)
    person = issuer.sign_up()
    token = person.token()
    assert header(token)["alg"] == algorithm
    with api.client(token) as client:
        made = client.post(f"/api/{person.user}/tasks", json={"title": "Buy milk"})
        assert made.status_code == 201
        assert made.json()["user_id"] == person.user
        assert client.get("/api/tasks").json() == [made.json()]
    with api.client(issuer.sign_up().token()) as somebody_else:
        assert somebody_else.get("/api/tasks").json() == []
        assert somebody_else.get(f"/api/{person.user}/tasks").status_code == 403


def test_a_session_token_is_refused_with_a_code_and_a_hint(run: Run) -> None:
    issuer, api = run()
    person = issuer.sign_up()
    signed = next(value for name, value in person.cookies.items() if name.endswith("session_token"))
    for session in (person.session, signed):
        answer = ask(api, session)
        assert (answer.status_code, answer.json()["code"]) == (401, "session_token")
        assert "/api/auth/token" in answer.json()["hint"]


def test_a_token_from_an_e_mail_message_is_refused(run: Run) -> None:
    issuer, api = run()
    issuer.sign_up()
    [letter] = issuer.letters()
    assert header(letter)["alg"] == "HS256"
    answer = ask(api, letter)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


@pytest.mark.parametrize(("cookies", "algorithm"), [("secret", "HS256"), ("keys", "EdDSA")])
def test_a_cached_session_cookie_is_refused(run: Run, cookies: str, algorithm: str) -> None:
    issuer, api = run(COOKIES=cookies)
    person = issuer.sign_up()
    cached = next(value for name, value in person.cookies.items() if name.endswith("session_data"))
    assert header(cached)["alg"] == algorithm
    answer = ask(api, cached)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert ask(api, person.token()).status_code == 200


class Load:
    """Requests from four threads until it is left: of two with one token, of two with a fresh one each time."""

    def __init__(self, issuer: Issuer, api: Serving) -> None:
        self.person, self.api = issuer.sign_up(), api
        self.kids: set[str] = set()
        self.statuses: list[int] = []
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=[fresh]) for fresh in (True, True, False, False)]

    def _work(self, fresh: bool) -> None:
        token = self.person.token()
        with httpx2.Client(base_url=self.api.address, timeout=30) as client:
            while not self._enough.is_set():
                token = self.person.token() if fresh else token
                self.kids.add(header(token)["kid"])
                answer = client.get("/api/tasks", headers={"Authorization": f"Bearer {token}"})
                self.statuses.append(answer.status_code)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()


def test_no_valid_token_is_refused_while_keys_rotate_under_load(run: Run) -> None:
    issuer, api = run(ROTATION="7")
    until = time.monotonic() + 60
    with Load(issuer, api) as load:
        while len(load.kids) < 3 and time.monotonic() < until:
            time.sleep(0.1)
    assert len(load.kids) >= 3
    assert len(load.statuses) > 200
    assert set(load.statuses) == {200}


def test_known_keys_go_on_while_better_auth_is_away_and_new_ones_are_learnt_when_it_is_back(run: Run) -> None:
    issuer, api = run()
    person = issuer.sign_up()
    used, unused = person.token(), person.token()
    assert ask(api, used).status_code == 200
    issuer.kill()
    for token in (used, unused):
        assert ask(api, token).status_code == 200
    issuer.start()
    fresh = issuer.sign_up().token()
    assert header(fresh)["kid"] != header(used)["kid"]
    assert ask(api, fresh).status_code == 200


def test_a_server_that_starts_before_better_auth_serves_once_it_is_there(run: Run, tmp_path: object) -> None:
    issuer, api = run()
    token = issuer.sign_up().token()
    issuer.kill()
    with api._todo.serve(BETTER_AUTH_URL=issuer.origin) as early:
        answer = ask(early, token)
        assert (answer.status_code, answer.json()["code"]) == (503, "identity_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert httpx2.get(f"{early.address}/healthz").status_code == 200
        issuer.start()
        fresh, until = issuer.sign_up().token(), time.monotonic() + 15
        while (answer := ask(early, fresh)).status_code == 503 and time.monotonic() < until:
            time.sleep(0.2)
        assert answer.status_code == 200
