"""The running program against its OpenAPI document."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Todo

EXAMPLES = 25  # of each operation and kind, however long they take
TIMEOUT = 300  # seconds


@pytest.mark.parametrize("contract", ["^/api/tasks", "^/api/[{]user_id[}]"])
def test_schemathesis_finds_no_failures(tmp_path: Path, prepared: Path, contract: str) -> None:
    """All checks, in the phases examples, coverage, fuzzing and stateful."""
    todo = Todo(tmp_path, prepared)
    with todo.serve() as server:
        address = f"{server.address}/openapi.json"
        selection = ["--header", f"Authorization: Bearer {todo.token('u1')}", "--include-path-regex", contract]
        limits = ["--checks", "all", "--max-examples", str(EXAMPLES), "--no-shrink"]
        run = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", address, *selection, *limits],
            cwd=tmp_path,
            env={**todo.environment, "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert "Selected: 8/18" in run.stdout
