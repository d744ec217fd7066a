"""`make run` and `make dev`: what they would do, without doing it."""

import os
import subprocess
from pathlib import Path

import pytest

from entrypoints.cli.serve import _config
from entrypoints.settings import Settings

ROOT = Path(__file__).parents[2]
INPUTS = ("Makefile", "install.sh", "pyproject.toml", "requirements-dev.txt")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder in which everything has been installed."""
    for name in INPUTS:
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/installed").write_text(f"{tmp_path.resolve()}\n")
    return tmp_path


def commands(folder: Path, *arguments: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("PORT", "MAKEFLAGS")}
    run = subprocess.run(
        ["make", "--dry-run", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return [line for line in run.stdout.splitlines() if not line.startswith("make")]


def test_make_run_uses_the_private_database_and_make_dev_reloads(clone: Path) -> None:
    served = "exec .venv/bin/python -m entrypoints.cli serve --private --host 127.0.0.1 --port 9000"
    assert commands(clone, "run", "PORT=9000") == [served]
    assert commands(clone, "dev", "PORT=9000") == [f"{served} --reload"]


def test_make_installs_again_where_the_folder_was_moved(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    moved = clone.rename(tmp_path_factory.mktemp("elsewhere") / "with a space")
    assert commands(moved, "run")[0] == "sh ./install.sh python3"
    (moved / ".venv/installed").write_text(f"{moved.resolve()}\n")
    assert "install.sh" not in "".join(commands(moved, "run"))


def test_reloading_watches_the_code_and_not_the_installed_packages() -> None:
    config = _config(Settings.model_construct(), None, workers=1, reload=True)
    assert {folder.name for folder in config.reload_dirs} == {"domain", "application", "adapters", "entrypoints"}
    assert {folder.parent for folder in config.reload_dirs} == {ROOT}
