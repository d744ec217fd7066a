"""The files of `deploy/` that cannot be run here, held to what matters in them."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

from tests.deploy.production import ROOT
from tests.deploy.service import UNIT, unit

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
COMPOSE = (ROOT / "deploy/compose.yaml").read_text()


def _stages() -> list[str]:
    return [f"FROM {stage}" for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]]


def _words(stage: str, instruction: str) -> list[str]:
    """What follows each of these instructions."""
    joined = stage.replace("\\\n", " ")
    return re.findall(rf"^{instruction} (.*)$", joined, flags=re.MULTILINE)


def _service(name: str) -> str:
    """Its lines of compose.yaml."""
    found = re.search(rf"^  {name}:\n((?:    .*\n)+)", COMPOSE, flags=re.MULTILINE)
    assert found, name
    return found[1]


def test_the_image_is_built_from_pinned_packages_and_our_own_and_nothing_else() -> None:
    built, _ = _stages()
    assert any(
        "pip install" in command and "--require-hashes -r requirements.txt" in command
        for command in _words(built, "RUN")
    )
    assert "requirements-dev" not in DOCKERFILE
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ours = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {source for words in _words(built, "COPY") for source in words.split()[:-1]}
    assert copied == {*ours, "requirements.txt", "pyproject.toml", "README.md"}


def test_the_image_holds_the_installation_only_and_runs_as_nobody_special() -> None:
    _, image = _stages()
    assert _words(image, "COPY") == ["--from=installed /opt/todo/.venv .venv"]
    [user] = _words(image, "USER")
    assert int(user) > 0
    assert image.index("USER") < image.index("ENTRYPOINT")


def test_the_image_serves_to_other_containers_as_the_first_process_and_its_probe_asks_no_database() -> None:
    _, image = _stages()
    assert _words(image, "ENTRYPOINT") == ['["todo"]']  # a list, so that no shell stands between it and SIGTERM
    [command] = _words(image, "CMD")
    assert '"serve", "--host", "0.0.0.0"' in command
    [probe] = _words(image, "HEALTHCHECK")
    assert ":8000/healthz" in probe


def test_compose_migrates_once_before_it_serves() -> None:
    assert "command: migrate" in _service("migrate")
    assert "condition: service_healthy" in _service("migrate")
    assert "restart" not in _service("migrate")
    assert "migrate:\n        condition: service_completed_successfully" in _service("api")


def test_compose_holds_no_password_and_publishes_nothing_to_the_world() -> None:
    assert (
        re.findall(r"PASSWORD(?!:\?)(?!: \$\{POSTGRES_PASSWORD:\?)\b.{0,3}", COMPOSE.partition("x-settings")[2]) == []
    )
    assert re.findall(r"^      - (\S*\d+:\d+)", COMPOSE, flags=re.MULTILINE) == ["127.0.0.1:8000:8000"]
    assert "ports" not in _service("postgres")


def test_the_unit_is_one_that_systemd_understands(installed: Path, tmp_path: Path) -> None:
    (tmp_path / UNIT.name).write_text(UNIT.read_text().replace("/opt/todo", str(installed)))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "todo@8001.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_unit_migrates_first_comes_back_always_and_lets_a_stop_take_its_time() -> None:
    service = unit()["Service"]
    assert shlex.split(service["ExecStartPre"])[1:] == ["migrate"]
    assert service["Restart"] == "always"
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 10
    assert service["User"] == "todo"
