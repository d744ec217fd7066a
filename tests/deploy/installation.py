"""A production install, as the documentation describes it, in a separate virtual environment."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def install(folder: Path, source: Path = ROOT) -> None:
    """Creates `.venv` in the folder with the production requirements only, from a copy of the repository."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / ".venv")], check=True)
    build = ROOT / "requirements-build.txt"  # releases before 1.0 have none of their own
    _pip(folder, source, "install", "--require-hashes", "-r", "requirements.txt", "-r", str(build))
    _pip(folder, source, "install", "--no-deps", "--no-build-isolation", ".")
    _pip(folder, source, "uninstall", "--yes", "-r", str(build))


def _pip(folder: Path, source: Path, *arguments: str) -> None:
    command = [str(folder / ".venv/bin/pip"), "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, cwd=source, env=environment, check=True)


def packages(folder: Path) -> set[str]:
    """Names of the installed packages, normalised as in requirement files."""
    program = "from importlib.metadata import distributions\nfor package in distributions(): print(package.name)"
    command = [str(folder / ".venv/bin/python"), "-I", "-c", program]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {*names.lower().replace("_", "-").split()}
