"""A production install, as the documentation describes it, in a separate virtual environment."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def install(folder: Path) -> None:
    """Creates `.venv` in the folder with the production requirements only."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / ".venv")], check=True)
    _pip(folder, "install", "--require-hashes", "-r", "requirements.txt", "-r", "requirements-build.txt")
    _pip(folder, "install", "--no-deps", "--no-build-isolation", ".")
    _pip(folder, "uninstall", "--yes", "-r", "requirements-build.txt")


def _pip(folder: Path, *arguments: str) -> None:
    command = [str(folder / ".venv/bin/pip"), "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def packages(folder: Path) -> set[str]:
    """Names of the installed packages, normalised as in requirement files."""
    program = "from importlib.metadata import distributions\nfor package in distributions(): print(package.name)"
    command = [str(folder / ".venv/bin/python"), "-I", "-c", program]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {*names.lower().replace("_", "-").split()}
