"""Sends each call to the shard of its owner: a batch has calls of one shard, and no shard waits for another.

To remove it, delete this file with `sharded` and `citus`, and what `Database` says of it.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

from adapters.postgres import sharded
from adapters.postgres.batching import Arguments, Batcher, outcomes
from adapters.postgres.connection import Rows
from adapters.postgres.failures import StatementRefused
from adapters.postgres.pool import Pool
from adapters.postgres.sql import CALLS, Statement, rows_by_call
from domain.errors import StorageUnavailable

REMEMBERED_OWNERS = 100_000  # some 20 MB

LOCATE = Statement(
    "locate",
    f"""
    SELECT call.n, shardid, groupid FROM {CALLS}
    JOIN pg_dist_placement ON shardid = get_shard_id_for_distribution_column('tasks', call.owner)
    """,
    {"owner": "varchar"},
    repeatable=True,
)


class Shard(NamedTuple):
    id: int
    node: int


class Placement:
    """Knows which shard each owner's rows are in: asks once for an owner, and again when a statement is refused, since
    shards may be split.

    Statements for one node may take half of the pool's connections, so that the other nodes are served while it hangs.
    """

    def __init__(
        self,
        pool: Pool,
        in_flight: Callable[[Statement], int],
        *,
        batching: bool,
        remembered: int = REMEMBERED_OWNERS,
    ) -> None:
        """`in_flight`: how many executions of a statement may run concurrently in each shard."""
        pool.in_cluster = True
        self._pool = pool
        self._in_flight = in_flight
        self._batching = batching
        self._remembered = remembered
        self._shards: dict[object, Shard] = {}
        self._batchers: dict[tuple[str, Shard | None], Batcher] = {}
        self._turns: defaultdict[int, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(max(1, pool.connections // 2))
        )

    @property
    def batchers(self) -> Sequence[tuple[str, Batcher]]:
        """With the names of the statements that they execute."""
        return [(name, batcher) for (name, _), batcher in self._batchers.items()]

    async def ask(self, statement: Statement, arguments: Arguments, deadline: float) -> Rows:
        """Like a batcher's. A call that is refused since its shard has changed is sent again, once.

        A statement without an owner is sent as it is.
        """
        if "owner" not in statement.parameters:
            rows = await self._pool.run(statement.query, statement.arrays([arguments]), deadline)
            return rows_by_call(rows, 1)[0]
        shard = self._shards.get(arguments[0]) or await self._locate(arguments[0], deadline)
        try:
            return await self._send(shard, statement, arguments, deadline)
        except StatementRefused as refusal:
            if refusal.sqlstate != sharded.MISPLACED:
                raise
        shard = await self._locate(arguments[0], deadline)
        try:
            return await self._send(shard, statement, arguments, deadline)
        except StatementRefused as refusal:
            raise (StorageUnavailable if refusal.sqlstate == sharded.MISPLACED else refusal) from None

    async def _locate(self, owner: object, deadline: float) -> Shard:
        row, *_ = await self._send(None, LOCATE, [owner], deadline)
        if len(self._shards) >= self._remembered:
            del self._shards[next(iter(self._shards))]
        shard = self._shards[owner] = Shard(*row)
        return shard

    async def _send(self, shard: Shard | None, statement: Statement, arguments: Arguments, deadline: float) -> Rows:
        send = partial(self._rows, shard)
        if not self._batching:
            [rows] = await send(statement, [arguments], deadline)
            return rows
        batcher = self._batchers.get((statement.name, shard))
        if batcher is None:
            batcher = self._batchers[statement.name, shard] = Batcher(
                partial(outcomes, send),
                in_flight=self._in_flight(statement),
                slow_after=self._pool.timeouts.slow_statement,
            )
        return await batcher.ask(statement, arguments, deadline)

    async def _rows(
        self, shard: Shard | None, statement: Statement, calls: Sequence[Arguments], deadline: float
    ) -> Sequence[Rows]:
        query, values = sharded.query(statement), sharded.values(statement, calls)
        if shard is None:
            return rows_by_call(await self._pool.run(query, values, deadline), len(calls))
        async with self._turn(shard.node, deadline):
            try:
                return rows_by_call(await self._pool.run(query, values, deadline), len(calls))
            except StatementRefused:
                for owner, *_ in calls:
                    self._shards.pop(owner, None)
                raise

    @asynccontextmanager
    async def _turn(self, node: int, deadline: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout_at(deadline):
                await self._turns[node].acquire()
        except TimeoutError:
            raise StorageUnavailable from None
        try:
            yield
        finally:
            self._turns[node].release()
