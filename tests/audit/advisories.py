"""Known vulnerabilities, as pip-audit and npm audit report them."""

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.audit.tools import ROOT, TOOLS

_NO_ANSWER = re.compile(r"requests\.exceptions|ServiceError|ConnectionError|Timeout", re.IGNORECASE)


class Unreachable(Exception):
    """The advisory service did not respond, or not with advisories, so nothing is known."""


@dataclass
class Report:
    """What the service knows of some packages."""

    packages: int = 0
    vulnerable: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Packages in versions that the service has not heard of: nothing is known about them either."""


def of_python(requirements: str) -> Report:
    """Asks about every package of a requirements file, without resolving or installing anything. Raises Unreachable."""
    what = ["--requirement", str(ROOT / requirements), "--require-hashes", "--disable-pip"]
    command = [str(TOOLS / "pip-audit"), *what, "--format", "json", "--progress-spinner", "off"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if not ran.stdout and _NO_ANSWER.search(ran.stderr):
        raise Unreachable(ran.stderr.strip().splitlines()[-1])
    assert ran.stdout, ran.stderr
    return read_pip_audit(ran.stdout)


def of_npm(folder: Path) -> Report:
    """Asks about every package of a package-lock.json. Raises Unreachable."""
    command = ["npm", "audit", "--json", "--package-lock-only"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return read_npm_audit(ran.stdout)


def read_pip_audit(report: str) -> Report:
    found = Report()
    for package in json.loads(report)["dependencies"]:
        found.packages += 1
        if "skip_reason" in package:
            found.unknown.append(package["name"])
        found.vulnerable += [
            f"{package['name']} {package['version']}: {each['id']}" for each in package.get("vulns", [])
        ]
    return found


def read_npm_audit(report: str) -> Report:
    """Raises Unreachable."""
    content = json.loads(report)
    if "vulnerabilities" not in content:
        raise Unreachable(content.get("message") or report)
    vulnerable = [f"{name}: {each['severity']}" for name, each in content["vulnerabilities"].items()]
    return Report(content["metadata"]["dependencies"]["total"], vulnerable)
