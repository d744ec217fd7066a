"""Calls of one kind that come together share one statement."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from domain.errors import StorageUnavailable

LONGEST_QUEUE = 1000  # calls of one kind that may wait to be sent; more are refused at once
PATIENCE_SECONDS = 0.005  # after which a statement that still runs no longer keeps the next from being sent

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Lane(Generic[Question, Answer]):
    """Answers each question by a statement that it may share with others.

    `send` carries one statement out for all of its questions, before the deadline that it is given, and returns the
    answers in the same order. Whoever comes while one is under way forms the next, of `calls` at most, which is sent
    when that one is answered or proves slow; of the slow ones, no more than `statements` run at once. Where nothing is
    under way, nobody waits.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Question], float], Coroutine[Any, Any, Sequence[Answer]]],
        *,
        statements: int,
        calls: int,
    ) -> None:
        self.statements_sent = self.calls_sent = 0
        """Since the start; the second by the first is how many share a statement."""
        self.refused = 0
        """Calls since the start that came while too many waited."""
        self._send = send
        self._statements = statements
        self._calls = calls
        self._waiting: list[tuple[Question, float, asyncio.Future[Answer]]] = []
        self._under_way: set[asyncio.Task[Sequence[Answer]]] = set()
        self._in_the_way: asyncio.Task[Sequence[Answer]] | None = None

    @property
    def waiting(self) -> int:
        """Calls that are not sent yet."""
        return len(self._waiting)

    async def ask(self, question: Question, until: float) -> Answer:
        """The answer, once the statement that holds it is committed.

        Raises what the statement raises, to all who shared it, and StorageUnavailable at the deadline, or where too
        many wait. Whoever is cancelled takes nobody along, and if they still waited, their question is not sent.
        """
        loop = asyncio.get_running_loop()
        if len(self._waiting) >= LONGEST_QUEUE:
            self.refused += 1
            raise StorageUnavailable
        if loop.time() >= until:
            raise StorageUnavailable
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((question, until, answer))
        if len(self._waiting) == 1:
            loop.call_soon(self._begin)  # not now: others may come in the same turn of the loop
        too_late = loop.call_at(until, _give_up, answer)
        try:
            return await answer
        finally:
            too_late.cancel()

    def _begin(self) -> None:
        """Sends what waits, as far as there is room."""
        loop = asyncio.get_running_loop()
        while self._waiting and self._in_the_way is None and len(self._under_way) < self._statements:
            calls = [call for call in self._waiting[: self._calls] if not call[2].done()]
            del self._waiting[: self._calls]
            if calls:
                self.statements_sent += 1
                self.calls_sent += len(calls)
                questions, deadlines, answers = zip(*calls, strict=True)
                statement = loop.create_task(self._send(questions, max(deadlines)))
                self._under_way.add(statement)
                self._in_the_way = statement
                slow = loop.call_later(PATIENCE_SECONDS, self._step_aside, statement)
                statement.add_done_callback(partial(self._end, answers, slow))

    def _step_aside(self, statement: "asyncio.Task[Sequence[Answer]]") -> None:
        if self._in_the_way is statement:
            self._in_the_way = None
        self._begin()

    def _end(
        self,
        answers: "Sequence[asyncio.Future[Answer]]",
        slow: asyncio.TimerHandle,
        statement: "asyncio.Task[Sequence[Answer]]",
    ) -> None:
        slow.cancel()
        self._under_way.discard(statement)
        self._step_aside(statement)
        awaited = [(place, answer) for place, answer in enumerate(answers) if not answer.done()]
        failure = asyncio.CancelledError() if statement.cancelled() else statement.exception()
        for place, answer in awaited:
            if failure is None:
                answer.set_result(statement.result()[place])
            else:
                answer.set_exception(failure)


def _give_up(answer: "asyncio.Future[Any]") -> None:
    if not answer.done():
        answer.set_exception(StorageUnavailable())
