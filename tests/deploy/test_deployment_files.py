"""The files that cannot be run here: parsed, linted, and compared with what the program understands."""

import json
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml  # type: ignore[import-untyped]

from entrypoints.cli.main import app
from entrypoints.settings import Settings
from tests.deploy.installation import ROOT
from tests.deploy.service import UNIT, unit

DEPLOY = ROOT / "deploy"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
MANIFESTS = {file.stem: yaml.safe_load(file.read_text()) for file in (DEPLOY / "kubernetes").glob("*.yaml")}
RENDER = yaml.safe_load((DEPLOY / "render.yaml").read_text())["services"][0]
FLY = tomllib.loads((DEPLOY / "fly.toml").read_text())
RAILWAY = json.loads((DEPLOY / "railway.json").read_text())
TOOLS = ROOT / ".venv/rollout/bin"


def _container(manifest: str) -> Any:
    [container] = MANIFESTS[manifest]["spec"]["template"]["spec"]["containers"]
    return container


def _stages() -> list[str]:
    return [f"FROM {stage}" for stage in re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]]


def _arguments(stage: str, instruction: str) -> list[str]:
    """The arguments of each occurrence of a Dockerfile instruction."""
    joined = re.sub(r"^#.*\n", "", stage, flags=re.MULTILINE).replace("\\\n", " ")
    return re.findall(rf"^{instruction} (.*)$", joined, flags=re.MULTILINE)


def _image_command() -> list[str]:
    [command] = _arguments(_stages()[-1], "CMD")
    words: list[str] = json.loads(command)
    return words


def _image_environment() -> dict[str, str]:
    [variables] = _arguments(_stages()[-1], "ENV")
    return dict(word.split("=", 1) for word in variables.split())


def _commands() -> Any:
    """The commands of `todo`, by name."""
    group: Any = typer.main.get_command(app)
    return group.commands


COMMANDS = {
    "image": _image_command(),
    "compose migrate": shlex.split(COMPOSE["services"]["migrate"]["command"]),
    "compose api": shlex.split(COMPOSE["services"]["api"]["command"]),
    "systemd migrate": ["todo", *shlex.split(unit()["Service"]["ExecStartPre"])[1:]],
    "systemd serve": ["todo", *shlex.split(unit()["Service"]["ExecStart"].replace("%i", "8001"))[1:]],
    "kubernetes serve": _container("deployment")["command"],
    "kubernetes migrate": _container("migrate")["command"],
    "render": shlex.split(RENDER["preDeployCommand"]),
    "fly": shlex.split(FLY["deploy"]["release_command"]),
    "railway": shlex.split(*RAILWAY["deploy"]["preDeployCommand"]),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_every_command_is_one_that_todo_understands(command: list[str]) -> None:
    program, name, *arguments = command
    assert program == "todo"
    _commands()[name].make_context(name, [*arguments])  # raises for unknown options and wrong values


def _variables() -> Iterator[str]:
    """The environment variables that the files set for the program."""
    yield from COMPOSE["x-settings"]
    yield from (variable["key"] for variable in RENDER["envVars"])
    yield from FLY["env"]
    yield from (variable["name"] for variable in _container("deployment")["env"])
    yield from (name for name in _image_environment() if name not in ("PATH", "PYTHONUNBUFFERED"))
    yield unit()["Service"]["Environment"].partition("=")[0]


def test_every_variable_is_a_setting_or_an_option_of_serve() -> None:
    options = {option.envvar for option in _commands()["serve"].params}
    settings = {name.upper() for name in Settings.model_fields}
    assert {*_variables()} - settings - options == set()
    assert {"PORT", "HOST"} <= options


def test_every_health_check_is_the_liveness_probe() -> None:
    """/readyz queries the database: polled, it would never let Neon suspend its compute."""
    container = _container("deployment")
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    paths = [
        RENDER["healthCheckPath"],
        RAILWAY["deploy"]["healthcheckPath"],
        *(check["path"] for check in FLY["http_service"]["checks"]),
        *(probe["path"] for probe in probes),
    ]
    assert {*paths} == {"/healthz"}
    assert {probe["port"] for probe in probes} == {"http"}
    [probe] = _arguments(_stages()[-1], "HEALTHCHECK")
    assert "/healthz" in probe
    assert "readyz" not in probe


def test_every_platform_allows_for_the_graceful_shutdown() -> None:
    """Ten seconds at most, and in Kubernetes after the pause in which a pod leaves the endpoints."""
    pause = int(_container("deployment")["lifecycle"]["preStop"]["exec"]["command"][-1])
    seconds = {
        "systemd": int(unit()["Service"]["TimeoutStopSec"]),
        "compose": int(COMPOSE["services"]["api"]["stop_grace_period"].removesuffix("s")),
        "kubernetes": MANIFESTS["deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] - pause,
        "render": RENDER["maxShutdownDelaySeconds"],
        "fly": FLY["kill_timeout"],
        "railway": RAILWAY["deploy"]["drainingSeconds"],
    }
    assert {name: value for name, value in seconds.items() if value < 15} == {}


def test_platforms_reach_the_port_that_the_image_listens_on() -> None:
    port = int(_image_environment()["PORT"])
    assert _image_environment()["HOST"] == "0.0.0.0"
    assert FLY["http_service"]["internal_port"] == port
    named = {each["name"]: each["containerPort"] for each in _container("deployment")["ports"]}
    assert named["http"] == port
    [metrics] = [each["value"] for each in _container("deployment")["env"] if each["name"] == "METRICS_PORT"]
    assert int(metrics) == named["metrics"]
    assert COMPOSE["services"]["api"]["ports"] == [f"127.0.0.1:8000:{port}"]


def test_the_image_is_built_from_pinned_packages_and_our_own_only() -> None:
    built, _ = _stages()
    installed = " ".join(_arguments(built, "RUN"))
    assert "--require-hashes -r requirements.txt" in installed
    assert "--require-hashes -r requirements-build.txt" in installed
    for command in re.findall(r"pip (?:install|wheel)[^&]*", installed):
        assert "--require-hashes" in command or "--no-deps" in command
        assert "wheel " not in command or "--no-build-isolation" in command
    assert "requirements-dev" not in DOCKERFILE
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ours = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {source for line in _arguments(built, "COPY") for source in line.split()[:-1]}
    assert copied == {*ours, "requirements.txt", "requirements-build.txt", "pyproject.toml", "README.md", "LICENSE"}
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sent == copied
    assert "\n*\n" in (ROOT / ".dockerignore").read_text(), "nothing else is sent to the builder"


def test_the_image_contains_the_installation_only_and_runs_unprivileged() -> None:
    _, image = _stages()
    assert _arguments(image, "COPY") == ["--from=build /opt/todo/.venv .venv"]
    [user] = _arguments(image, "USER")
    assert int(user) > 0
    assert image.index("USER") < image.index("CMD [")
    pods = [MANIFESTS[name]["spec"]["template"]["spec"] for name in ("deployment", "migrate")]
    assert {pod["securityContext"]["runAsUser"] for pod in pods} == {int(user)}


def test_the_image_runs_todo_as_pid_1_and_commands_are_the_same_on_every_platform() -> None:
    """Some platforms replace the ENTRYPOINT by their command, and others append it. Exec form: SIGTERM reaches todo."""
    _, image = _stages()
    assert _arguments(image, "ENTRYPOINT") == []
    assert _image_command() == ["todo", "serve"]


def test_the_probe_of_the_image_follows_the_port_and_fails_where_nothing_listens() -> None:
    [probe] = _arguments(_stages()[-1], "HEALTHCHECK")
    program = json.loads(probe[probe.index("CMD") + 3 :])
    assert program[:2] == ["python", "-c"]
    refused = subprocess.run(
        ["python3", *program[1:]], env={**os.environ, "PORT": "1"}, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1, refused.stderr
    assert "Connection refused" in refused.stderr


def test_compose_migrates_once_before_it_serves_from_one_image() -> None:
    services = COMPOSE["services"]
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert "restart" not in services["migrate"]
    assert services["api"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert services["api"]["image"] == services["migrate"]["image"]
    assert [name for name, service in services.items() if "build" in service] == ["migrate"]
    assert services["api"]["pull_policy"] == "never"


def test_compose_waits_for_the_server_that_stays() -> None:
    """The image initialises its volume with a temporary server, which responds on the Unix socket only."""
    assert "--host 127.0.0.1" in COMPOSE["services"]["postgres"]["healthcheck"]["test"]
    assert "--wait" in COMPOSE["services"]["migrate"]["command"]


def test_compose_bounds_its_logs() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name


def test_compose_contains_no_password_and_publishes_to_loopback_only() -> None:
    text = (DEPLOY / "compose.yaml").read_text().partition("x-settings")[2]
    assert re.findall(r"PASSWORD(?!:\?)(?!: \$\{POSTGRES_PASSWORD:\?)\b.{0,3}", text) == []
    assert "ports" not in COMPOSE["services"]["postgres"]


def test_no_file_contains_a_secret() -> None:
    render = {each["key"]: each for each in RENDER["envVars"]}
    assert {name for name, each in render.items() if each.get("sync") is False} == {"DATABASE_URL", "BETTER_AUTH_URL"}
    secret = [{"secretRef": {"name": "todo"}}]
    assert _container("deployment")["envFrom"] == _container("migrate")["envFrom"] == secret
    for file in (ROOT / "Dockerfile", *DEPLOY.rglob("*.*")):
        assert not re.search(r"postgres(ql)?://\w+:(?!\$)", file.read_text()), file


def test_kubernetes_selects_the_pods_that_it_creates_from_one_image() -> None:
    deployment, labels = MANIFESTS["deployment"], MANIFESTS["deployment"]["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["service"]["spec"]["selector"] == labels
    assert MANIFESTS["disruption-budget"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["migrate"]["spec"]["template"]["metadata"]["labels"] != labels, "else it would receive requests"
    target = MANIFESTS["autoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"], "each release would undo the autoscaler"
    assert _container("deployment")["image"] == _container("migrate")["image"]
    assert "cpu" in _container("deployment")["resources"]["requests"], "utilization is relative to it"


@pytest.mark.parametrize("version", ["1.32", "1.37"])
def test_the_manifests_are_valid_by_the_published_schemas_of_kubernetes(version: str) -> None:
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    assert len(files) == 5
    checked = subprocess.run(
        [TOOLS / "kubernetes-validate", "--strict", "--kubernetes-version", version, *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_compose_is_valid_by_its_published_schema() -> None:
    checked = subprocess.run(
        [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_hadolint_has_nothing_to_say() -> None:
    checked = subprocess.run([TOOLS / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


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
