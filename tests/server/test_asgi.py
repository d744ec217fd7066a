"""`entrypoints.asgi`, for platforms that import an ASGI object."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx2

from adapters.better_auth.identity import ExpectedClaims, sign
from domain.values import UserId
from entrypoints.settings import Settings
from tests.cli.conftest import TIMEOUT, wait_until
from tests.databases import url
from tests.deploy.nginx import free_port

GUIDE = Path(__file__).parents[2] / "docs/how-to/deploy.md"
SECRET = "a secret of at least thirty-two bytes"


def environment(**settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return {**inherited, **settings}


def test_uvicorn_serves_the_application_that_the_environment_configures(database: str, tmp_path: Path) -> None:
    port = free_port()
    [documented] = re.findall(r"^uvicorn (.*)$", GUIDE.read_text(), flags=re.MULTILINE)
    command = [sys.executable, "-m", "uvicorn", *documented.split(), "--port", str(port)]
    settings = environment(DATABASE_URL=url(database), BETTER_AUTH_SECRET=SECRET)
    with (tmp_path / "log").open("w") as log:
        serving = subprocess.Popen(command, cwd=tmp_path, env=settings, stdout=log, stderr=log)
    try:
        token = sign(UserId("asgi"), SECRET, ExpectedClaims(), seconds=600)
        headers = {"Authorization": f"Bearer {token}"}
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client:
            wait_until(lambda: _is_alive(client))
            made = client.post("/api/tasks", json={"title": "Buy milk"})
            assert made.status_code == 201
            assert client.get(made.headers["Location"]).json() == made.json()
    finally:
        serving.terminate()
        serving.wait(TIMEOUT)
    assert '"route":"/api/tasks","status":201' in (tmp_path / "log").read_text().replace(" ", "")


def _is_alive(client: httpx2.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx2.ConnectError:
        return False


def test_without_a_database_the_import_fails_and_says_what_to_set(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import entrypoints.asgi"]
    refused = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert refused.returncode == 1
    assert "DATABASE_URL: must be set" in refused.stderr.splitlines()[-1]
