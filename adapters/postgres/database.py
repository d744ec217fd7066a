"""The database as the repository uses it: `ask` executes a statement for one call and returns its rows, committed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from adapters.postgres.batching import Arguments, Batcher, outcomes
from adapters.postgres.connection import Rows
from adapters.postgres.failures import OutcomeUnknown, StatementRefused, kind_of_refusal
from adapters.postgres.placement import Placement
from adapters.postgres.pool import Pool
from adapters.postgres.sharded import IS_SHARDED, REFUSALS
from adapters.postgres.sql import Statement, rows_by_call
from adapters.postgres.statements import STATEMENTS
from domain.errors import StorageUnavailable

ATTEMPTS = 3  # at a statement that is repeatable

Attempt = Callable[[Statement, Arguments, float], Awaitable[Rows]]


class Database:
    """Executes statements on the pool's connections, each in a transaction of its own.

    `batching`: concurrent calls share executions. Otherwise every call has one of its own; the results are the same.
    `row_security`: each execution carries the owners of its calls, for a serving role that is admitted by them.
    `sharded`: the tables are distributed. Where this is not known, it is noticed when a statement is refused.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        batching: bool = True,
        row_security: bool = False,
        statements: Sequence[Statement] = STATEMENTS,
        sharded: bool | None = None,
    ) -> None:
        self._pool = pool
        self._row_security = row_security
        self.batchers: Mapping[str, Batcher] = {
            statement.name: Batcher(
                partial(outcomes, self._rows),
                in_flight=self._most_in_flight(statement),
                slow_after=pool.timeouts.slow_statement,
            )
            for statement in (statements if batching else ())
        }
        """By the name of the statements that they execute; none without batching."""
        self._placement = self._new_placement() if sharded else None

    @property
    def batchers_of_shards(self) -> Sequence[tuple[str, Batcher]]:
        """The same where the tables are distributed: one of each name for each shard."""
        return self._placement.batchers if self._placement else ()

    def deadline(self) -> float:
        """When a call that begins now runs out of its time budget, by the event loop's clock."""
        return asyncio.get_running_loop().time() + self._pool.timeouts.call

    def ask(self, statement: Statement, *arguments: object, deadline: float) -> Awaitable[Rows]:
        """The rows of this call, without `n`, after the statement has committed.

        Raises StorageUnavailable where the statement was not executed, or not confirmed before the deadline. Raises
        OutcomeUnknown where the connection was lost and it may have been executed; a repeatable statement is executed
        again instead, and then raises StorageUnavailable. Raises StatementRefused where PostgreSQL rejects this call.
        """
        if self._placement is not None:
            attempt: Attempt = self._placement.ask
        else:
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

    async def _rows(self, statement: Statement, calls: Sequence[Arguments], deadline: float) -> Sequence[Rows]:
        """The rows of each call."""
        query = statement.guarded_query if self._row_security else statement.query
        try:
            rows = await self._pool.run(query, statement.arrays(calls), deadline)
        except StatementRefused as refusal:
            if len(calls) > 1 or refusal.sqlstate not in REFUSALS or not await self._find_placement(deadline):
                raise
            assert self._placement is not None
            return [await self._placement.ask(statement, calls[0], deadline)]
        return rows_by_call(rows, len(calls))

    async def _find_placement(self, deadline: float) -> bool:
        """Whether the tables are distributed. From then on calls are sent to their shards."""
        if self._placement is None:
            [[sharded]] = await self._pool.run(IS_SHARDED, (), deadline)
            self._placement = self._new_placement() if sharded else None
        return self._placement is not None

    def _new_placement(self) -> Placement:
        return Placement(self._pool, self._most_in_flight, batching=bool(self.batchers))
