"""An attack on the program while honest clients use it, and the budget that the program must keep."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults.load import Operation
from tests.faults.report import AttackRow
from tests.faults.scenario import Bound, Fault, Stage

MAX_MIB = 256  # of resident memory, for each process
AFTERWARDS = 1.2  # times the memory before
SETTLING = 12  # seconds until memory is back
SLOWER = 2  # times the undisturbed p99 of honest clients
FLOOR = 0.5  # seconds; a p99 below it is fine on a machine with other work
HONEST = 40  # connections that the honest clients may have opened in the meantime
MIB = 2**20


@dataclass(frozen=True)
class Usage:
    """The highest of any process."""

    mib: int
    descriptors: int


def usage(processes: Sequence[int]) -> Usage:
    each = [*map(_usage, processes)]
    return Usage(max((one.mib for one in each), default=0), max((one.descriptors for one in each), default=0))


def _usage(process: int) -> Usage:
    folder = Path(f"/proc/{process}")
    with suppress(FileNotFoundError, ProcessLookupError):
        resident = int((folder / "statm").read_text().split()[1]) * 4096
        return Usage(resident // MIB, len([*(folder / "fd").iterdir()]))
    return Usage(0, 0)


def workers(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in _command(child)]


def _command(process: str) -> bytes:
    """Empty for a process that has gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def serving_processes(parent: int) -> list[int]:
    """The workers, or the only process."""
    return workers(parent) or [parent]


@dataclass
class Watch:
    """The highest usage so far."""

    processes: Callable[[], list[int]]
    mib: int = 0
    descriptors: int = 0

    async def run(self) -> None:
        while True:
            now = usage(self.processes())
            self.mib, self.descriptors = max(self.mib, now.mib), max(self.descriptors, now.descriptors)
            await asyncio.sleep(0.02)


def _duration(fault: Fault, operation: Operation) -> float:
    """Seconds, without those that other work on the machine took: attackers are other machines."""
    return operation.ended - operation.began - fault.lost.between(operation.began, operation.ended)


def _p99(fault: Fault, operations: Sequence[Operation]) -> float:
    durations = sorted(_duration(fault, operation) for operation in operations)
    return durations[int(0.99 * len(durations))] if durations else 0.0


def _phases(operations: Sequence[Operation], began: float, ended: float) -> Iterator[Sequence[Operation]]:
    """Before the attack, and during it."""
    yield [one for one in operations if one.ended < began]
    yield [one for one in operations if one.ended >= began and one.began <= ended]


FAST = f"p99 at most {SLOWER} times the undisturbed one, or {FLOOR * 1000:g} ms"
NO_ERROR = Bound("no error", lambda figures: not figures.failed)


def is_fast(fault: Fault) -> bool:
    undisturbed, attacked = _phases(_operations(fault), fault.began, asyncio.get_running_loop().time())
    return _p99(fault, attacked) <= max(FLOOR, SLOWER * _p99(fault, undisturbed))


def _operations(fault: Fault) -> list[Operation]:
    return [operation for load in fault.loads for operation in load.operations]


@asynccontextmanager
async def under_attack(
    stage: Stage, rows: list[AttackRow], name: str, seconds: float, note: str
) -> AsyncIterator[Fault]:
    """The attack of this name, for so many seconds. The body of the context runs meanwhile."""
    watch = Watch(lambda: serving_processes(stage.process))
    before = usage(watch.processes())
    faults: list[Fault] = []
    try:
        async with replace(stage, rows=[]).fault(name, NO_ERROR) as fault:
            faults.append(fault)
            before = usage(watch.processes())
            watching = asyncio.create_task(watch.run())
            host, port = stage.address.removeprefix("http://").split(":")
            command = [sys.executable, "-m", "tests.faults.attackers", name, host, port, str(seconds)]
            fault.begins()
            attackers = await asyncio.create_subprocess_exec(*command)
            yield fault
            await attackers.wait()
            fault.ends()
            fault.expect(is_fast(fault), FAST)
            await settled(watch.processes, before)
            watching.cancel()
            after = usage(watch.processes())
            fault.expect(watch.mib < MAX_MIB, f"at most {MAX_MIB} MiB")
            fault.expect(after.mib <= AFTERWARDS * before.mib, "memory within 20 % afterwards")
            fault.expect(after.descriptors <= before.descriptors + HONEST, "no descriptor leaked")
            fault.expect(attackers.returncode == 0, "the attackers attack")
    finally:
        if faults:
            rows.append(_row(name + note, faults[0], before, watch, usage(watch.processes())))


async def settled(processes: Callable[[], list[int]], before: Usage) -> None:
    for _ in range(SETTLING * 10):
        now = usage(processes())
        if now.mib <= AFTERWARDS * before.mib and now.descriptors <= before.descriptors + HONEST:
            return
        await asyncio.sleep(0.1)


def _row(name: str, fault: Fault, before: Usage, peak: Watch, after: Usage) -> AttackRow:
    operations = _operations(fault)
    undisturbed, attacked = _phases(operations, fault.began, fault.ended or fault.began)
    return AttackRow(
        attack=name,
        memory=f"{before.mib}, {peak.mib}, {after.mib}",
        descriptors=f"{before.descriptors}, {peak.descriptors}, {after.descriptors}",
        requests=len(attacked),
        failed=sum(operation.failed for operation in operations),
        undisturbed=f"{_p99(fault, undisturbed) * 1000:.0f} ms",
        attacked=f"{_p99(fault, attacked) * 1000:.0f} ms",
        slowest=f"{max((_duration(fault, operation) for operation in attacked), default=0.0):.2f} s",
    )
