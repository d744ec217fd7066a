"""A genuine Better Auth server with the addresses of Neon Auth, configured by one setting."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.cli.conftest import Todo
from tests.e2e.conftest import Issuer, browse, free_port
from tests.identity.neon import PATH


@pytest.fixture
def neon() -> Iterator[Issuer]:
    issuer = Issuer(free_port(), BASE_PATH=PATH, JWKS_PATH="/.well-known/jwks.json")
    issuer.start()
    yield issuer
    issuer.kill()


def test_better_auth_with_another_jwks_path_has_no_keys_at_the_usual_one(neon: Issuer) -> None:
    addresses = [f"{neon.origin}{PATH}/jwks", f"{neon.origin}{PATH}/.well-known/jwks.json"]
    assert [httpx2.get(address).status_code for address in addresses] == [404, 200]


@pytest.mark.parametrize("name", ["NEON_AUTH_BASE_URL", "BETTER_AUTH_URL"])
def test_one_setting_is_enough(neon: Issuer, tmp_path: Path, name: str) -> None:
    todo, user = Todo(tmp_path), neon.sign_up()
    with todo.serve(**{name: neon.origin + PATH}) as api:
        client = api.client(user.token())
        created = client.post(f"/api/{user.id}/tasks", json={"title": "Buy milk"})
        assert (created.status_code, created.json()["user_id"]) == (201, user.id)
        assert client.get("/api/tasks").json() == [created.json()]
        found = todo.run("doctor", **{name: neon.origin + PATH}).stdout
        assert f"ok    jwks      EdDSA at {neon.origin}{PATH}/.well-known/jwks.json" in found
        assert ("ok    cors      no page may call" in found) is (name == "NEON_AUTH_BASE_URL")
    hint = "CORS          no page may call the API from a browser: set CORS_ORIGINS"
    assert any(line.startswith(hint) for line in api.said) is (name == "NEON_AUTH_BASE_URL")


def test_a_page_uses_the_api_with_its_tokens(neon: Issuer, tmp_path: Path) -> None:
    known = {"NEON_AUTH_BASE_URL": neon.origin + PATH, "CORS_ORIGINS": neon.origin}
    with Todo(tmp_path).serve(**known) as api:
        observed = browse(
            "frontend",
            page=neon.origin,
            auth=PATH,
            api=api.address,
            without_database=api.address,
            email="page@example.com",
        )
    for contract in ("first", "second"):
        assert observed[contract]["created"]["status"] == 201
        assert observed[contract]["created"]["body"]["user_id"] == observed["user"]
        assert observed[contract]["deleted"]["status"] == 204
