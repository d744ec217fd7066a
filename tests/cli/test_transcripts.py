"""Runs the terminal sessions in the documentation, and compares their output."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import TIMEOUT, Serving, Todo

PAGE = Path("docs/how-to/paginate-cache-and-retry.md")
SET_UP = ("AUTH=", "LIST=")  # set by the test, for its own server
CHANGING = re.compile(r'"[0-9a-f]{12,14}"|cursor=[\w-]+|"request_id":"\w+"|/tasks/\d+')


def transcript() -> list[tuple[str, str]]:
    """Each command with the output that the page shows."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(blocks), re.MULTILINE)
    return [(command, output) for command, output in shown if not command.startswith(SET_UP)]


def typed(commands: list[str], environment: dict[str, str]) -> list[str]:
    """The output of each command, run in one shell."""
    script = "".join(f"{command}\nprintf '\\036'\n" for command in commands)
    run = subprocess.run(
        ["bash"], input=script, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    return run.stdout.split("\036")[:-1]


def comparable(outputs: list[str]) -> str:
    """Replaces values that change from run to run by numbers: the same number for the same value."""
    seen: dict[str, str] = {}
    return CHANGING.sub(lambda found: seen.setdefault(found[0], f"<{len(seen)}>"), "\n".join(outputs))


@pytest.mark.parametrize(("user", "path"), [("alice", "/api/tasks"), ("bob", "/api/bob/tasks")])
def test_the_session_prints_what_the_page_shows(beside: tuple[Todo, Serving], user: str, path: str) -> None:
    commands, shown = zip(*transcript(), strict=True)
    todo, server = beside
    environment = {
        **os.environ,
        "AUTH": f"Authorization: Bearer {todo.token(user)}",
        "LIST": f"{server.address.removeprefix('http://')}{path}",
    }
    printed = typed([*commands], environment)
    assert len(commands) > 15
    assert comparable([text.replace(path, "/api/tasks") for text in printed]) == comparable([*shown])
