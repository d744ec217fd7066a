"""The database as the repository uses it: `ask` executes a statement for one call and returns its rows, committed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from adapters.postgres.batching import Arguments, Batcher, Outcomes, Rows
from adapters.postgres.failures import OutcomeUnknown, StatementRefused, kind_of_refusal
from adapters.postgres.pool import Pool
from adapters.postgres.sql import Statement
from adapters.postgres.statements import STATEMENTS
from domain.errors import StorageUnavailable

ATTEMPTS = 3  # at a statement that is repeatable

Attempt = Callable[[Statement, Arguments, float], Awaitable[Rows]]


class Database:
    """Executes statements on the pool's connections, each in a transaction of its own.

    `batching`: concurrent calls share executions. Otherwise every call has one of its own; the results are the same.
    `row_security`: each execution carries the owners of its calls, for a serving role that is admitted by them.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        batching: bool = True,
        row_security: bool = False,
        statements: Sequence[Statement] = STATEMENTS,
    ) -> None:
        self._pool = pool
        self._row_security = row_security
        self.batchers: Mapping[str, Batcher] = {
            statement.name: Batcher(
                self._execute, in_flight=self._most_in_flight(statement), slow_after=pool.timeouts.slow_statement
            )
            for statement in (statements if batching else ())
        }
        """By the name of the statements that they execute; none without batching."""

    def deadline(self) -> float:
        """When a call that begins now runs out of its time budget, by the event loop's clock."""
        return asyncio.get_running_loop().time() + self._pool.timeouts.call

    def ask(self, statement: Statement, *arguments: object, deadline: float) -> Awaitable[Rows]:
        """The rows of this call, without `n`, after the statement has committed.

        Raises StorageUnavailable where the statement was not executed, or not confirmed before the deadline. Raises
        OutcomeUnknown where the connection was lost and it may have been executed; a repeatable statement is executed
        again instead, and then raises StorageUnavailable. Raises StatementRefused where PostgreSQL rejects this call.
        """
        attempt = self.batchers[statement.name].ask if self.batchers else self._alone
        if statement.repeatable:
            return self._retry(attempt, statement, arguments, deadline)
        return attempt(statement, arguments, deadline)

    async def ping(self) -> None:
        """Returns if the database responds within the timeout `ready` and holds the table of tasks; otherwise raises
        StorageUnavailable, after twice that timeout at the latest. Its message says why, for anybody to read."""
        deadline = asyncio.get_running_loop().time() + self._pool.timeouts.ready
        try:
            [[migrated]] = await self._pool.run(b"SELECT to_regclass('tasks') IS NOT NULL", (), deadline)
        except (OutcomeUnknown, StorageUnavailable):
            refusal = self._pool.refusal
            raise StorageUnavailable(kind_of_refusal(refusal) if refusal else "no response in time") from None
        if not migrated:
            raise StorageUnavailable("the database is not migrated")

    def _most_in_flight(self, statement: Statement) -> int:
        return min(statement.in_flight, max(1, self._pool.connections // 2)) if statement.scans else statement.in_flight

    async def _retry(self, attempt: Attempt, statement: Statement, arguments: Arguments, deadline: float) -> Rows:
        for _ in range(ATTEMPTS):
            try:
                return await attempt(statement, arguments, deadline)
            except OutcomeUnknown:
                continue
        raise StorageUnavailable

    async def _alone(self, statement: Statement, arguments: Arguments, deadline: float) -> Rows:
        [rows] = await self._rows(statement, [arguments], deadline)
        return rows

    async def _execute(self, statement: Statement, calls: Sequence[Arguments], deadline: float) -> Outcomes:
        """What each call would get alone. A statement that is refused is sent again for either half of its calls: the
        data of one call fails no other."""
        try:
            return await self._rows(statement, calls, deadline)
        except StatementRefused as refusal:
            if len(calls) == 1:
                return [refusal]
            middle = len(calls) // 2
            return [
                *await self._execute(statement, calls[:middle], deadline),
                *await self._execute(statement, calls[middle:], deadline),
            ]
        except (OutcomeUnknown, StorageUnavailable) as failure:
            return [failure] * len(calls)

    async def _rows(self, statement: Statement, calls: Sequence[Arguments], deadline: float) -> Sequence[Rows]:
        """The rows of each call."""
        rows_by_call: list[list[tuple[object, ...]]] = [[] for _ in calls]
        query = statement.guarded_query if self._row_security else statement.query
        for row in await self._pool.run(query, statement.arrays(calls), deadline):
            rows_by_call[row[0] - 1].append(row[1:])
        return rows_by_call
