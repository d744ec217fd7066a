"""An installation as README.md describes it, in an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def install(folder: Path) -> None:
    """Makes `.venv` in the folder, with what production needs and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / ".venv")], check=True)
    _pip(folder, "install", "--require-hashes", "-r", "requirements.txt")
    _pip(folder, "install", "--no-deps", ".")


def _pip(folder: Path, *arguments: str) -> None:
    command = [str(folder / ".venv/bin/pip"), "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def packages(folder: Path) -> set[str]:
    """The names of all that is installed, as requirement files spell them."""
    program = "from importlib.metadata import distributions\nfor each in distributions(): print(each.name)"
    command = [str(folder / ".venv/bin/python"), "-I", "-c", program]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {*names.lower().replace("_", "-").split()}
