"""The version has one source, and what a release consists of fits together."""

import json
import re
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path

from trove_classifiers import classifiers

from entrypoints.http.app import create
from tests.http.conftest import container

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pinned(requirements: str) -> set[str]:
    """Package and version of each line."""
    return {*re.findall(r"^[^\s#]+==[^\s;\\]+", (ROOT / requirements).read_text(), flags=re.MULTILINE)}


def test_the_version_of_pyproject_toml_is_the_only_one() -> None:
    assert version("todo-backend") == PROJECT["version"], "run make: the installed metadata are older"
    assert create(container()).version == PROJECT["version"]
    code = [
        file for layer in ("domain", "application", "adapters", "entrypoints") for file in (ROOT / layer).rglob("*")
    ]
    assert [file for file in code if file.suffix == ".py" and PROJECT["version"] in file.read_text()] == []


def test_the_typescript_client_has_the_version_of_the_api_that_it_was_generated_from() -> None:
    """`make client` writes all three."""
    folder = ROOT / "clients/typescript"
    assert json.loads((folder / "openapi.json").read_text())["info"]["version"] == PROJECT["version"]
    for name in ("package.json", "package-lock.json"):
        assert json.loads((folder / name).read_text())["version"] == PROJECT["version"], name


def test_the_newest_release_in_the_changelog_is_this_version_and_has_notes() -> None:
    [_, *sections] = re.split(r"^## \[", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert sections[0].startswith("Unreleased]")
    heading, _, notes = sections[1].partition("\n")
    assert re.fullmatch(rf"{re.escape(PROJECT['version'])}\] - \d{{4}}-\d\d-\d\d", heading)
    assert "\n### " in notes


def test_the_metadata_name_the_licence_and_every_python_that_is_checked() -> None:
    assert PROJECT["license"] == "MIT"
    assert metadata("todo-backend")["License-Expression"] == "MIT"
    assert "todo-backend authors" in (ROOT / "LICENSE").read_text()
    assert {*PROJECT["classifiers"]} - classifiers <= {"Private :: Do Not Upload"}
    checked = re.search(r"python: \[(.*)\]", (ROOT / ".github/workflows/check.yml").read_text())
    assert checked
    named = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert named == re.findall(r"3\.\d+", checked[1])
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_what_builds_is_pinned_and_can_be_uninstalled_without_taking_anything_from_production() -> None:
    build = pinned("requirements-build.txt")
    assert any(package.startswith("hatchling==") for package in build)
    names = {package.partition("==")[0] for package in build}
    assert not names & {package.partition("==")[0] for package in pinned("requirements-otel.txt")}


def test_every_pinned_file_agrees_with_the_development_install() -> None:
    for requirements in ("requirements.txt", "requirements-otel.txt", "requirements-build.txt"):
        assert len(pinned(requirements)) > 3
        assert pinned(requirements) <= pinned("requirements-dev.txt"), requirements
