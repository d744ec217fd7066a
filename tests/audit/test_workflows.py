"""The files of `.github/`, which cannot be run here, held to linters, GitHub's schemas and the rest of the project."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.audit.tools import ROOT, TOOLS

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").iterdir())
FORMS = sorted({*(GITHUB / "ISSUE_TEMPLATE").iterdir()} - {GITHUB / "ISSUE_TEMPLATE/config.yml"})
TEXTS = "".join(file.read_text() for file in WORKFLOWS)


def run(tool: str, *arguments: str | Path) -> None:
    ran = subprocess.run([TOOLS / tool, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_zizmor_finds_no_weakness_in_the_workflows() -> None:
    """Permissions, injection, credentials that persist, unpinned actions, poisoned caches."""
    run("zizmor", "--offline", "--persona", "pedantic", GITHUB)


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("dependabot", [GITHUB / "dependabot.yml"]),
        ("github-issue-forms", FORMS),
        ("github-issue-config", [GITHUB / "ISSUE_TEMPLATE/config.yml"]),
    ],
)
def test_every_file_has_the_form_that_github_expects(schema: str, files: list[Path]) -> None:
    run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


def test_every_action_is_pinned_by_commit_and_in_one_version() -> None:
    uses = re.findall(r"uses: (?!\./)(\S+?)@(\S+) # (v\S+)\n", TEXTS)
    assert len(uses) == len(re.findall(r"uses: (?!\./)", TEXTS)) > 10
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for _, commit, _ in uses)
    assert len({name for name, *_ in uses}) == len({*uses})


def test_no_checkout_leaves_its_token_behind_and_no_job_has_permissions_that_it_does_not_name() -> None:
    """zizmor accepts `persist-credentials: true` as a decision."""
    assert TEXTS.count("actions/checkout@") == TEXTS.count("persist-credentials: false") > 0
    assert all("\npermissions: {}\n" in file.read_text() for file in WORKFLOWS)


def test_what_the_workflows_run_exists() -> None:
    targets = re.findall(r"^(\S+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    made = re.findall(r"run: make (\S+)", TEXTS)
    assert {"check", "audit", "e2e", "rollout", "packages"} == {*made} <= {*targets}
    files = re.findall(r"(?:file:|-f|uses:) (?:\./)?((?:deploy|\.github)/\S+)", TEXTS)
    assert len(files) >= 3
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_ci_here_runs_what_ci_there_runs() -> None:
    here = re.findall(r"^make (\S+)", (ROOT / ".ci/run").read_text(), flags=re.MULTILINE)
    there = re.findall(r"run: make (\S+)", (GITHUB / "workflows/check.yml").read_text())
    assert {*here} == {*there}


def test_dependabot_watches_every_folder_with_pinned_packages() -> None:
    watched = (GITHUB / "dependabot.yml").read_text()
    locks = subprocess.run(
        ["git", "ls-files", "*package-lock.json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for lock in locks.stdout.split():
        assert re.search(rf"/{Path(lock).parent}\b", watched), lock
