"""Essential properties of the files in `deploy/` that cannot be run here."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

from tests.deploy.installation import ROOT
from tests.deploy.service import UNIT, unit

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
COMPOSE = (ROOT / "deploy/compose.yaml").read_text()


def _stages() -> list[str]:
    return [f"FROM {stage}" for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]]


def _arguments(stage: str, instruction: str) -> list[str]:
    """The arguments of each occurrence of a Dockerfile instruction."""
    joined = stage.replace("\\\n", " ")
    return re.findall(rf"^{instruction} (.*)$", joined, flags=re.MULTILINE)


def _service(name: str) -> str:
    """The lines of a service in compose.yaml."""
    found = re.search(rf"^  {name}:\n((?:    .*\n)+)", COMPOSE, flags=re.MULTILINE)
    assert found, name
    return found[1]


def test_the_image_is_built_from_pinned_packages_and_our_own_only() -> None:
    built, _ = _stages()
    assert any(
        "pip install" in command and "--require-hashes -r requirements.txt" in command
        for command in _arguments(built, "RUN")
    )
    assert any("--no-build-isolation" in command for command in _arguments(built, "RUN"))
    assert "requirements-dev" not in DOCKERFILE
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ours = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {source for line in _arguments(built, "COPY") for source in line.split()[:-1]}
    assert copied == {*ours, "requirements.txt", "requirements-build.txt", "pyproject.toml", "README.md", "LICENSE"}


def test_the_image_contains_the_installation_only_and_runs_unprivileged() -> None:
    _, image = _stages()
    assert _arguments(image, "COPY") == ["--from=installed /opt/todo/.venv .venv"]
    [user] = _arguments(image, "USER")
    assert int(user) > 0
    assert image.index("USER") < image.index("ENTRYPOINT")


def test_the_image_runs_todo_as_pid_1_on_all_interfaces_and_probes_liveness_only() -> None:
    _, image = _stages()
    assert _arguments(image, "ENTRYPOINT") == ['["todo"]']  # exec form: SIGTERM reaches the process, not a shell
    [command] = _arguments(image, "CMD")
    assert '"serve", "--host", "0.0.0.0"' in command
    [probe] = _arguments(image, "HEALTHCHECK")
    assert ":8000/healthz" in probe


def test_compose_migrates_once_before_it_serves() -> None:
    assert "command: migrate" in _service("migrate")
    assert "condition: service_healthy" in _service("migrate")
    assert "restart" not in _service("migrate")
    assert "migrate:\n        condition: service_completed_successfully" in _service("api")


def test_compose_contains_no_password_and_publishes_to_loopback_only() -> None:
    assert (
        re.findall(r"PASSWORD(?!:\?)(?!: \$\{POSTGRES_PASSWORD:\?)\b.{0,3}", COMPOSE.partition("x-settings")[2]) == []
    )
    assert re.findall(r"^      - (\S*\d+:\d+)", COMPOSE, flags=re.MULTILINE) == ["127.0.0.1:8000:8000"]
    assert "ports" not in _service("postgres")


def test_the_unit_passes_systemd_analyze_verify(installed: Path, tmp_path: Path) -> None:
    (tmp_path / UNIT.name).write_text(UNIT.read_text().replace("/opt/todo", str(installed)))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "todo@8001.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_unit_migrates_first_always_restarts_and_leaves_time_for_a_graceful_shutdown() -> None:
    service = unit()["Service"]
    assert shlex.split(service["ExecStartPre"])[1:] == ["migrate"]
    assert service["Restart"] == "always"
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 10
    assert service["User"] == "todo"
