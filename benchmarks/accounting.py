"""CPU time and memory of processes, from /proc."""

import os
import re
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu(process: int) -> float:
    """Seconds of CPU used by a process and its descendants, including those that have exited."""
    return sum(_cpu_of(member) for member in _family(process)) + _exited_children(process)


def memory(process: int) -> float:
    """Resident MiB of a process and its descendants."""
    pages = sum(int(Path(f"/proc/{member}/statm").read_text().split()[1]) for member in _family(process))
    return pages * _PAGE / 2**20


def reset_peak(process: int) -> None:
    """Resets the value that `peak` returns."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


def peak(process: int) -> float:
    """Peak of resident MiB of a process since its start or `reset_peak`."""
    found = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[0]) / 1024


def wait_until_idle(*processes: int, timeout: float = 15) -> None:
    """Waits until the processes use no CPU, so that no work left over from one measurement counts in the next."""
    deadline, before = time.monotonic() + timeout, -1.0
    while time.monotonic() < deadline:
        now = sum(cpu(process) for process in processes)
        if now - before < 0.02:
            return
        before = now
        time.sleep(0.1)


def _family(process: int) -> list[int]:
    try:
        listed = [file.read_text() for file in Path(f"/proc/{process}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):  # the process or one of its threads has exited
        listed = []
    return [process, *(member for child in " ".join(listed).split() for member in _family(int(child)))]


def _cpu_of(process: int) -> float:
    user, system = _stat(process)[11:13]
    return (int(user) + int(system)) / _TICKS


def _exited_children(process: int) -> float:
    """CPU seconds of exited children that the process has waited for."""
    user, system = _stat(process)[13:15]
    return (int(user) + int(system)) / _TICKS


def _stat(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (
        FileNotFoundError,
        ProcessLookupError,
    ):  # exited: counts for its parent from now on
        return ["0"] * 15
