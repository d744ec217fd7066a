"""Whatever fails or is cancelled: no call gets another's rows, waits forever, or is sent twice that must not be."""

import asyncio
import random
from itertools import count

import pytest

from adapters.postgres.database import Database
from adapters.postgres.failures import OutcomeUnknown, StatementRefused
from adapters.postgres.sql import Statement
from domain.errors import StorageUnavailable
from tests.contracts.simulation import SimulatedPool, run

PARAMETERS = {"owner": "bigint", "id": "bigint", "row": "bigint", "bad": "bigint"}
READ = Statement("read", "SELECT {calls} 1", PARAMETERS, batch_size=5, in_flight=2, repeatable=True)
WRITE = Statement("write", "SELECT {calls} 2", PARAMETERS, batch_size=4, in_flight=2)
SCAN = Statement("scan", "SELECT {calls} 3", PARAMETERS, batch_size=2, scans=True)
OTHER_SCAN = Statement("scan", "SELECT {calls} 4", PARAMETERS, batch_size=1, scans=True)
KINDS = (READ, WRITE, SCAN, OTHER_SCAN)


class Scenario:
    """Some callers, each with a few calls one after the other, from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.pool = SimulatedPool(self.chance, KINDS)
        self.ids = count(1)

    async def play(self) -> None:
        self.database = Database(self.pool, statements=KINDS)  # type: ignore[arg-type]
        callers = [asyncio.create_task(self.caller()) for _ in range(self.chance.randint(1, 10))]
        for caller in callers:
            if self.chance.random() < 0.15:
                asyncio.get_running_loop().call_later(self.chance.choice([0.0, 0.001, 0.01, 1.0]), caller.cancel)
        await asyncio.wait(callers)
        for caller in callers:
            if not caller.cancelled():
                caller.result()
        await asyncio.sleep(20)  # until what is in flight has ended
        for batcher in self.database.batchers.values():
            assert not batcher.waiting
            assert not batcher._in_flight
            assert not batcher._deadlines._pending

    async def caller(self) -> None:
        for _ in range(self.chance.randint(1, 2)):
            await asyncio.sleep(self.chance.choice([0.0, 0.0, 0.0005, 0.003, 0.02]))
            await self.call()

    async def call(self) -> None:
        kind, id_, row = self.chance.choice(KINDS), next(self.ids), self.chance.randint(1, 4)
        bad, loop = self.chance.random() < 0.1, asyncio.get_running_loop()
        deadline = loop.time() + self.chance.choice([0.002, 0.5, 4.5, 4.5, 4.5])
        call = self.database.ask(kind, self.chance.randint(1, 4), id_, row, int(bad), deadline=deadline)
        [outcome] = await asyncio.gather(call, return_exceptions=True)
        assert loop.time() <= deadline + 0.001, "left waiting"
        in_time = loop.time() < deadline - 0.001
        match outcome:
            case StatementRefused():
                assert bad, "refused for another's data"
            case StorageUnavailable():
                assert kind is READ or not in_time or not self.pool.executed[id_], "said to be without effect"
            case OutcomeUnknown():
                assert kind is not READ, "not repeated"
            case _:
                assert not isinstance(outcome, BaseException)
                assert sorted(outcome) == [(id_, copy) for copy in range(row % 3)], "another's rows"
                assert self.pool.executed[id_]
                assert not bad
        if kind is not READ:
            assert self.pool.executed[id_] <= 1, "executed twice"
            assert id_ not in self.pool.sent_in_doubt, "sent twice"


def test_calls_are_never_mixed_up_lost_or_sent_twice(pytestconfig: pytest.Config) -> None:
    for seed in range(pytestconfig.option.seeds):
        try:
            run(Scenario(seed).play())
        except BaseException as failure:
            failure.add_note(f"seed {seed}")
            raise
