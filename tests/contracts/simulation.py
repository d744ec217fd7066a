"""An event loop whose time passes by itself, and a database whose connections fail at random: both by a seed."""

import asyncio
import random
import selectors
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any

from adapters.postgres.connection import Rows
from adapters.postgres.failures import OutcomeUnknown, StatementRefused
from adapters.postgres.sql import Statement
from adapters.postgres.timeouts import Timeouts
from domain.errors import StorageUnavailable


class _Clock(selectors.BaseSelector):
    """Waiting for input takes no time: the clock is set to the end of the wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing will ever happen again: somebody waits forever"
        self.now += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        raise NotImplementedError

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        raise NotImplementedError

    def get_map(self) -> dict[Any, selectors.SelectorKey]:
        return {}


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs callbacks and timers in a fixed order, without a socket or a thread."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Clock()

    def time(self) -> float:
        return self._selector.now

    def _process_events(self, events: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run(main: Coroutine[Any, Any, None]) -> None:
    """Until it returns. Raises what it raises, and fails where a callback does."""
    loop, failed = SimulatedLoop(), list[object]()
    loop.set_exception_handler(lambda _, context: failed.append(context))
    try:
        loop.run_until_complete(main)
    finally:
        loop.close()
    assert not failed


class SimulatedPool:
    """Executes batches of calls with the parameters (owner, id, row, bad). A call's rows name its id.

    Executions take a random time, so they end in any order; some fail as those of a real database do. The statement is
    refused if the data of any call is bad.
    """

    def __init__(self, chance: random.Random, statements: Sequence[Statement]) -> None:
        self.timeouts, self.connections = Timeouts(), 4
        self.executed: Counter[int] = Counter()
        """How often each call has had its effect."""
        self.sent_in_doubt: list[int] = []
        """Calls that were sent although they might have had their effect already."""
        self._chance = chance
        self._by_query = {statement.query: statement for statement in statements}
        self._in_doubt: set[int] = set()
        self._running: Counter[str] = Counter()

    async def run(self, query: bytes, values: Sequence[str], deadline: float) -> Rows:
        statement = self._by_query[query]
        calls = [*zip(*(map(int, array[1:-1].split(",")) for array in values), strict=True)]
        assert len(calls) <= statement.batch_size
        self.sent_in_doubt += [id_ for _, id_, *_ in calls if id_ in self._in_doubt]
        self._running[statement.name] += 1
        assert self._running[statement.name] <= (self.connections // 2 if statement.scans else statement.in_flight)
        try:
            return await self._execute(calls, deadline)
        finally:
            self._running[statement.name] -= 1

    async def _execute(self, calls: Sequence[tuple[int, ...]], deadline: float) -> Rows:
        loop, ids = asyncio.get_running_loop(), [id_ for _, id_, *_ in calls]
        takes = self._chance.choice([0.0, 0.001, 0.004, 0.02, 1.0, 9.0])
        await asyncio.sleep(max(0.0, min(takes, deadline - loop.time())))
        if any(bad for *_, bad in calls):
            raise StatementRefused("22021")
        fate = self._chance.random()
        if fate < 0.1 or loop.time() >= deadline:
            raise StorageUnavailable
        if fate < 0.2:
            self._in_doubt |= {*ids}
            if self._chance.random() < 0.5:
                self.executed.update(ids)
            raise OutcomeUnknown
        self.executed.update(ids)
        self._in_doubt |= {*ids}
        rows = [(n, id_, copy) for n, (_, id_, row, _) in enumerate(calls, 1) for copy in range(row % 3)]
        self._chance.shuffle(rows)
        return rows
