"""Load by wrk, and what it says afterwards."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import Owner
from benchmarks.tokens import Algorithm, Issuer

OPERATIONS = ("get", "list-20", "list-100", "create", "put", "complete", "mix")
_SCRIPT = Path(__file__).with_name("requests.lua")


@dataclass(frozen=True, slots=True)
class Answered:
    """Times are in milliseconds. `refused` answers had a status of 400 or more; `broken` ones never came."""

    requests: int
    seconds: float
    p50: float
    p99: float
    slowest: float
    refused: int
    broken: int


def write_callers(file: Path, owners: Mapping[str, Sequence[Owner]], issuer: Issuer, algorithm: Algorithm) -> None:
    """With their tokens, for wrk to read."""
    lines = (
        " ".join([kind, issuer.token(owner.user_id, algorithm), *map(str, owner.tasks)])
        for kind, those in owners.items()
        for owner in those
    )
    file.write_text("\n".join(lines) + "\n")


def load(url: str, operation: str, callers: Path, *, connections: int, seconds: int, seed: int = 1) -> Answered:
    """Asks as fast as it is answered, over so many connections."""
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--timeout", "20s", "--script", str(_SCRIPT), url, "--", operation, str(callers), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    if done.returncode:
        raise RuntimeError(f"wrk failed: {done.stderr or done.stdout}")
    return Answered(**json.loads(done.stdout.splitlines()[-1]))
