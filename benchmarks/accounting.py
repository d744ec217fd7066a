"""What processes cost, by the kernel's own accounts."""

import os
import re
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu(process: int) -> float:
    """Seconds of CPU that a process has used, with all that descend from it, those that have ended included."""
    return sum(_cpu_of(each) for each in _family(process)) + _ended(process)


def memory(process: int) -> float:
    """Resident MiB of a process and all that descend from it."""
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in _family(process))
    return pages * _PAGE / 2**20


def forget_peak(process: int) -> None:
    """From now on, `peak` is that of what comes."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


def peak(process: int) -> float:
    """The most MiB that a process has had resident."""
    found = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[0]) / 1024


def wait_until_idle(*processes: int, patience: float = 15) -> None:
    """Until they have done nothing for a while, so that a measurement begins with no work left over from the last."""
    deadline, before = time.monotonic() + patience, -1.0
    while time.monotonic() < deadline:
        now = sum(cpu(process) for process in processes)
        if now - before < 0.02:
            return
        before = now
        time.sleep(0.1)


def _family(process: int) -> list[int]:
    try:
        listed = [file.read_text() for file in Path(f"/proc/{process}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):  # it, or a thread of it, has ended
        listed = []
    return [process, *(one for child in " ".join(listed).split() for one in _family(int(child)))]


def _cpu_of(process: int) -> float:
    user, system = _stat(process)[11:13]
    return (int(user) + int(system)) / _TICKS


def _ended(process: int) -> float:
    """By those children that the process has waited for."""
    user, system = _stat(process)[13:15]
    return (int(user) + int(system)) / _TICKS


def _stat(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # ended this very moment: its parent's account holds it next time
        return ["0"] * 15
