"""Batching: concurrent calls of a statement share executions."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from adapters.postgres.connection import Rows
from adapters.postgres.failures import OutcomeUnknown, StatementRefused
from adapters.postgres.fairness import FairQueue
from adapters.postgres.sql import Statement
from domain.errors import StorageUnavailable

TIMER_RESOLUTION = 0.001  # seconds, to which uvloop rounds its timers

Arguments = Sequence[object]
Outcomes = Sequence[Rows | Exception]
Execute = Callable[[Statement, Sequence[Arguments], float], Coroutine[Any, Any, Outcomes]]
"""Executes a statement for a batch of calls, before the deadline; returns in their order the rows of each, or why it
failed."""

SendTogether = Callable[[Statement, Sequence[Arguments], float], Coroutine[Any, Any, Sequence[Rows]]]
"""Executes a statement for some calls, and raises if it fails for any."""


async def outcomes(send: SendTogether, statement: Statement, calls: Sequence[Arguments], deadline: float) -> Outcomes:
    """What each call would get alone. A statement that is refused is sent again for either half of its calls: the data
    of one call fails no other."""
    try:
        return await send(statement, calls, deadline)
    except StatementRefused as refusal:
        if len(calls) == 1:
            return [refusal]
        middle = len(calls) // 2
        return [
            *await outcomes(send, statement, calls[:middle], deadline),
            *await outcomes(send, statement, calls[middle:], deadline),
        ]
    except (OutcomeUnknown, StorageUnavailable) as failure:
        return [failure] * len(calls)


class Deadlines:
    """Fails futures at their deadlines with StorageUnavailable. One timer serves all: one for each call costs more than
    the rest of its way through a batcher."""

    def __init__(self) -> None:
        self._pending: dict[asyncio.Future[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, future: "asyncio.Future[Any]", deadline: float) -> None:
        self._pending[future] = deadline
        if self._timer is None or deadline < self._timer.when():
            self._set_timer(deadline)

    def remove(self, future: "asyncio.Future[Any]") -> None:
        del self._pending[future]

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        """Its timer may have been set for a future that was removed since."""
        self._timer = None
        now = asyncio.get_running_loop().time() + TIMER_RESOLUTION
        for future, deadline in self._pending.items():
            if deadline <= now and not future.done():
                future.set_exception(StorageUnavailable())
        if left := [deadline for deadline in self._pending.values() if deadline > now]:
            self._set_timer(min(left))


class Batcher:
    """Collects concurrent calls of one kind into batches.

    A call that finds nothing in flight is sent in the next turn of the event loop, with the others of this turn. Calls
    that arrive while an execution is in flight go into the next batch, which is sent when that execution ends or has
    run for `slow_after` seconds. They are taken in turn by owner, the first argument of each call. The statement bounds
    the size of a batch; `in_flight` executions may run concurrently, where they are slow.
    """

    def __init__(
        self,
        execute: Execute,
        *,
        in_flight: int,
        slow_after: float = 0.005,
        longest_queue: int = 1000,
        share: int = 250,
    ) -> None:
        self.statements_sent = self.calls_sent = 0
        """Totals since the start. Their ratio is the average batch size."""
        self.refused = 0
        """Calls since the start that were refused because `longest_queue` calls were waiting."""
        self._execute = execute
        self._slow_after = slow_after
        self._most_in_flight = in_flight
        self._queue = FairQueue[tuple[Statement, Arguments, float, asyncio.Future[Rows]]](longest_queue, share)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._blocking: asyncio.Task[None] | None = None
        """The execution that has to end, or to prove slow, before the next batch is sent."""
        self._deadlines = Deadlines()

    @property
    def waiting(self) -> int:
        """Calls that are not sent yet."""
        return len(self._queue)

    async def ask(self, statement: Statement, arguments: Arguments, deadline: float) -> Rows:
        """The rows of this call, after the statement has committed.

        Raises why this call failed; StorageUnavailable at the deadline and, at once, where the queue is full;
        TooManyRequests where the owner's share of it is. Cancelling a call does not affect its batch; a call that is
        cancelled while it waits is not sent.
        """
        loop = asyncio.get_running_loop()
        if loop.time() >= deadline:
            raise StorageUnavailable
        result: asyncio.Future[Rows] = loop.create_future()
        try:
            self._queue.add(arguments[0], (statement, arguments, deadline, result))
        except StorageUnavailable:
            self.refused += 1
            raise
        self._send_next()
        self._deadlines.add(result, deadline)
        try:
            return await result
        finally:
            self._deadlines.remove(result)

    def _send_next(self) -> None:
        """Begins an execution if the limits allow one. It takes its calls from the queue in the next turn of the event
        loop: this one may bring more."""
        if self._queue and self._blocking is None and len(self._in_flight) < self._most_in_flight:
            self._blocking = asyncio.get_running_loop().create_task(self._send())
            self._in_flight.add(self._blocking)

    async def _send(self) -> None:
        """Sends the next batch, and gives each call its outcome."""
        execution = asyncio.current_task()
        assert execution is not None
        statement, batch = self._next_batch()
        if batch:
            self.statements_sent += 1
            self.calls_sent += len(batch)
            _, calls, deadlines, results = zip(*batch, strict=True)
            slow = asyncio.get_running_loop().call_later(self._slow_after, self._unblock, execution)
            ended: list[tuple[asyncio.Future[Rows], Rows | BaseException]]
            try:
                ended = [*zip(results, await self._execute(statement, calls, max(deadlines)), strict=True)]
            except BaseException as failure:  # noqa: BLE001 - each call raises it
                ended = [(result, failure) for result in results]
            slow.cancel()
            for result, outcome in ended:
                if result.done():
                    continue
                if isinstance(outcome, BaseException):
                    result.set_exception(outcome)
                else:
                    result.set_result(outcome)
        self._in_flight.discard(execution)
        self._unblock(execution)

    def _next_batch(self) -> tuple[Statement, list[tuple[Statement, Arguments, float, asyncio.Future[Rows]]]]:
        """Without the calls that are cancelled or expired."""
        statement, batch = self._queue.first()[0], []
        calls_by_owner = Counter[object]()
        for _ in range(statement.batch_size):
            call = self._queue.take()
            if not call[-1].done():
                batch.append(call)
                if statement.owner_share:
                    calls_by_owner[call[1][0]] += 1
            if not self._queue or self._queue.first()[0] is not statement:
                break
            if statement.owner_share and calls_by_owner[self._queue.first()[1][0]] >= statement.owner_share:
                break
        return statement, batch

    def _unblock(self, execution: "asyncio.Task[None]") -> None:
        if self._blocking is execution:
            self._blocking = None
        self._send_next()
