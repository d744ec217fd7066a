"""No pinned package has a known vulnerability, as far as the advisory services can be reached and know it.

What they cannot say is no failure, because a mirror or a machine without internet would then never pass. It is reported
as skipped, with the reason.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit.advisories import Report, Unreachable, of_npm, of_python, read_npm_audit, read_pip_audit
from tests.audit.tools import ROOT

LOCKS = subprocess.run(
    ["git", "ls-files", "*package-lock.json"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()


def judge(ask: Callable[[], Report]) -> None:
    """Fails if anything is vulnerable; skips, saying why, if that is not known."""
    try:
        report = ask()
    except Unreachable as error:
        pytest.skip(f"NOT CHECKED, the advisory service is unreachable: {str(error)[:200]}")
    assert report.packages
    assert report.vulnerable == []
    if report.unknown:
        some = ", ".join(report.unknown[:5])
        pytest.skip(
            f"NOT CHECKED, the advisory service does not know {len(report.unknown)} of {report.packages} packages"
            f" in these versions: {some}{', ...' if len(report.unknown) > 5 else ''}"
        )


@pytest.mark.parametrize("requirements", ["requirements-dev.txt", "requirements-audit.txt", "requirements-rollout.txt"])
def test_no_pinned_python_package_has_a_known_vulnerability(requirements: str) -> None:
    """The first includes requirements.txt, the extra and what builds: tests/test_release.py."""
    judge(lambda: of_python(requirements))


@pytest.mark.skipif(not shutil.which("npm"), reason="NOT CHECKED, npm is not installed")
@pytest.mark.parametrize("lock", LOCKS)
def test_no_pinned_npm_package_has_a_known_vulnerability(lock: str) -> None:
    judge(lambda: of_npm((ROOT / lock).parent))


def test_every_lock_file_is_looked_at() -> None:
    assert "clients/typescript/package-lock.json" in LOCKS


VULNERABLE = {"name": "jinja2", "version": "3.1.2", "vulns": [{"id": "CVE-2024-22195", "fix_versions": ["3.1.3"]}]}
KNOWN = {"name": "anyio", "version": "4.16.0", "vulns": []}
UNKNOWN = {"name": "orjson", "skip_reason": "Dependency not found"}


def python(*packages: object) -> Callable[[], Report]:
    return lambda: read_pip_audit(json.dumps({"dependencies": packages, "fixes": []}))


def npm(**content: object) -> Callable[[], Report]:
    return lambda: read_npm_audit(json.dumps(content))


METADATA = {"dependencies": {"total": 3}}


def test_a_vulnerable_package_fails_also_beside_unknown_ones() -> None:
    with pytest.raises(AssertionError, match="CVE-2024-22195"):
        judge(python(KNOWN, UNKNOWN, VULNERABLE))
    with pytest.raises(AssertionError, match="semver: high"):
        judge(npm(vulnerabilities={"semver": {"severity": "high"}}, metadata=METADATA))


def test_known_packages_without_a_vulnerability_pass() -> None:
    judge(python(KNOWN))
    judge(npm(vulnerabilities={}, metadata=METADATA))


def test_what_the_service_cannot_say_is_reported_and_no_failure() -> None:
    with pytest.raises(pytest.skip.Exception, match="does not know 1 of 2 packages in these versions: orjson"):
        judge(python(KNOWN, UNKNOWN))
    with pytest.raises(pytest.skip.Exception, match="unreachable: request failed"):
        judge(npm(message="request failed", error={"summary": ""}))


def test_an_empty_report_is_a_failure() -> None:
    with pytest.raises(AssertionError):
        judge(python())


def test_a_service_out_of_reach_is_told_apart_from_a_broken_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(Unreachable):
        of_python("requirements-build.txt")
    (tmp_path / "requirements.txt").write_text("anyio==4.16.0\n")
    with pytest.raises(AssertionError, match="does not contain a hash"):
        of_python(str(tmp_path / "requirements.txt"))
