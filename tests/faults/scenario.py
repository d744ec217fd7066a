"""A fault injected under load on both contracts, and the bounds that the measurements must keep."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import ClassVar

import pytest

from tests.faults import history
from tests.faults.cluster import Cluster
from tests.faults.load import CONTRACTS, Contract, Load, Operation, load
from tests.faults.machine import LostTime
from tests.faults.proxy import Proxy
from tests.faults.report import Row

SECRET = "a secret of at least thirty-two bytes"
BEFORE = 1.0  # seconds of load before a fault
AFTERWARDS = 3.0  # seconds of load after it


@dataclass(frozen=True)
class Figures:
    """Measurements of one contract. Times are those of the event loop; durations leave out what the machine took."""

    operations: Sequence[Operation]
    began: float  # the fault
    ended: float
    lost: LostTime

    def seconds(self, began: float, ended: float) -> float:
        """Without what was lost to other work on the machine."""
        return ended - began - self.lost.between(began, ended)

    def duration(self, operation: Operation) -> float:
        return self.seconds(operation.began, operation.ended)

    @property
    def failed(self) -> Sequence[Operation]:
        return [operation for operation in self.operations if operation.failed]

    @property
    def slowest(self) -> float:
        return max(map(self.duration, self.operations))

    @property
    def slowest_failure(self) -> float:
        return max(map(self.duration, self.failed), default=0.0)

    @property
    def last_failure(self) -> float:
        """Seconds from the beginning of the fault."""
        return max((self.seconds(self.began, operation.ended) for operation in self.failed), default=0.0)

    @property
    def back(self) -> float:
        """Seconds from the end of the fault to the first response after which no request failed."""
        last = max((operation.began for operation in self.failed), default=self.began)
        served = [operation.ended for operation in self.operations if operation.began > last]
        return self.seconds(self.ended, min(served)) if served else inf

    @property
    def rate(self) -> float:
        """Requests per second, as sent by the load: clients pause between requests."""
        took = max(operation.ended for operation in self.operations) - min(op.began for op in self.operations)
        return len(self.operations) / took

    def quantile(self, part: float) -> float:
        return sorted(map(self.duration, self.operations))[int(part * len(self.operations))]


@dataclass(frozen=True)
class Bound:
    """A condition that the measurements must meet."""

    words: str
    kept: Callable[[Figures], bool]


def responses_within(seconds: float) -> Bound:
    return Bound(f"responses within {seconds:g} s", lambda figures: figures.slowest <= seconds)


def errors_within(seconds: float) -> Bound:
    return Bound(f"errors within {seconds:g} s", lambda figures: figures.slowest_failure <= seconds)


def last_error_within(seconds: float) -> Bound:
    return Bound(f"last error within {seconds:g} s", lambda figures: figures.last_failure <= seconds)


def back_within(seconds: float) -> Bound:
    return Bound(f"back within {seconds:g} s", lambda figures: figures.back <= seconds)


def quantile_within(part: float, seconds: float) -> Bound:
    return Bound(f"p{part * 100:g} under {seconds * 1000:g} ms", lambda figures: figures.quantile(part) < seconds)


NO_ERROR = Bound("no error", lambda figures: not figures.failed)
ONLY_IN_FLIGHT = Bound(
    "only what was in flight fails",
    lambda figures: all(operation.began <= figures.ended for operation in figures.failed),
)
MOSTLY_SERVED = Bound("nine of ten are served", lambda figures: len(figures.failed) <= len(figures.operations) / 10)
FELT = Bound("felt", lambda figures: bool(figures.failed))
READS_GO_ON = Bound("reads go on", lambda figures: all(op.action not in ("get", "list") for op in figures.failed))


@dataclass
class Fault:
    """The record of a running scenario."""

    loads: Sequence[Load]
    lost: LostTime
    began: float
    ended: float | None = None
    bounds: Sequence[Bound] = ()
    missed: list[str] = field(default_factory=list)

    def failures(self) -> int:
        """Failed requests on both contracts so far."""
        return sum(operation.failed for load_ in self.loads for operation in load_.operations)

    def expect(self, kept: bool, words: str) -> None:
        """A bound of this scenario only."""
        if not kept and words not in self.missed:
            self.missed.append(words)

    async def pause_load(self) -> None:
        """Sends no requests until `resume_load`."""
        await asyncio.gather(*(load_.pause() for load_ in self.loads))

    def resume_load(self) -> None:
        for load_ in self.loads:
            load_.resume()

    def begins(self) -> None:
        self.began = asyncio.get_running_loop().time()

    def ends(self, at: float | None = None) -> None:
        self.ended = asyncio.get_running_loop().time() if at is None else at


@dataclass
class Stage:
    """The program as run in production, its database, and the proxy between them."""

    cluster: Cluster
    between: Proxy
    address: str
    process: int
    rows: list[Row]
    note: str = ""  # what is different about this stage, in the name of each fault
    _names: ClassVar[Iterator[int]] = count()

    @asynccontextmanager
    async def fault(self, name: str, *bounds: Bound) -> AsyncIterator[Fault]:
        """A fault injected by the body of the context, with load before, during and after it.

        Fails if a bound is not kept or a history is impossible.
        """
        users = f"u{next(self._names)}"
        async with AsyncExitStack() as stack:
            loads = [
                await stack.enter_async_context(load(self.address, contract, SECRET, users)) for contract in CONTRACTS
            ]
            lost = LostTime()
            watching = asyncio.create_task(lost.watch(self._processes))
            stack.callback(watching.cancel)
            await asyncio.sleep(BEFORE)
            fault = Fault(loads, lost, asyncio.get_running_loop().time(), bounds=bounds)
            yield fault
            await asyncio.sleep(AFTERWARDS)
        self._check(name + self.note, fault)

    def _processes(self) -> list[int]:
        """Those that take part in a request."""
        return [os.getpid(), self.process, *self.cluster.processes()]

    def _check(self, name: str, fault: Fault) -> None:
        broken = []
        for load_ in fault.loads:
            figures = Figures(load_.operations, fault.began, fault.ended or fault.began, fault.lost)
            missed = [*fault.missed, *(bound.words for bound in fault.bounds if not bound.kept(figures))]
            everything = load_.operations + [operation for guest in load_.guests for operation in guest.operations]
            violations = history.violations(everything, load_.contract)
            if missed or violations:
                broken += [f"contract {load_.contract}: {words}" for words in [*missed, *violations, *_slow(figures)]]
            wrong = [f"not: {words}" for words in [*missed, *(["linearizable"] if violations else [])]]
            self.rows.append(_row(name, fault, figures, load_.contract, "; ".join(wrong) or "held"))
        if broken:
            lost = fault.lost.between(fault.began, asyncio.get_running_loop().time())
            broken.append(f"without {lost:.2f} s in which the test, the program or the database waited for a CPU")
            pytest.fail("\n".join(broken), pytrace=False)


def _slow(figures: Figures) -> list[str]:
    """The slowest operations, for diagnosis. Times are seconds from the beginning of the fault."""
    slowest = sorted(figures.operations, key=figures.duration, reverse=True)[:20]
    return [
        f"{op.action} of {op.user} at {op.began - figures.began:.2f}: {op.status} after {figures.duration(op):.2f} s"
        for op in slowest
    ]


def _row(name: str, fault: Fault, figures: Figures, contract: Contract, held: str) -> Row:
    return Row(
        fault=name,
        contract=contract,
        requests=len(figures.operations),
        failed=len(figures.failed),
        slowest=f"{figures.slowest:.2f} s",
        back="" if fault.ended is None else f"{max(0.0, figures.back):.2f} s",
        bound=", ".join(bound.words for bound in fault.bounds),
        held=held,
        p50=f"{figures.quantile(0.5):.3f} s",
        p99=f"{figures.quantile(0.99):.3f} s",
        rate=f"{figures.rate:.0f}",
    )
