"""Others who hold what is needed: the table, a row, all the connections but three."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.load import User
from tests.faults.scenario import (
    FELT,
    MOSTLY_SERVED,
    NO_ERROR,
    Stage,
    answers_within,
    back_within,
    quantile_within,
)

pytestmark = pytest.mark.scenario


async def test_a_locked_table_is_not_waited_for_longer_than_six_seconds(stage: Stage) -> None:
    async with stage.fault("table locked for 6 s", FELT, answers_within(6), back_within(1.5)) as fault:
        async with _locked(stage, "LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"):
            fault.begins()
            await asyncio.sleep(6)
        fault.ends()


async def test_a_locked_row_that_many_want_holds_up_nobody_else(stage: Stage) -> None:
    async with stage.fault("row locked for 6 s, 30 want it", NO_ERROR, quantile_within(0.99, 0.5)) as fault:
        wanting = [load_.guest("wanting") for load_ in fault.loads]
        tasks = [(await user.create()).answer["id"] for user in wanting]
        async with _locked(stage, f"SELECT FROM tasks WHERE id IN ({tasks[0]}, {tasks[1]}) FOR UPDATE"):
            asking = [asyncio.create_task(_want(user, task)) for user, task in zip(wanting, tasks, strict=True)]
            await asyncio.sleep(6)
        for slowest in await asyncio.gather(*asking):
            fault.expect(slowest <= 6, "answers within 6 s for who wants it")


async def _want(user: User, task: int) -> float:
    """The seconds of the slowest answer."""
    changes = [user.retitle(task, f"{user.operations[0].answer['title']}") for _ in range(15)]
    return max(operation.seconds for operation in await asyncio.gather(*changes))


@asynccontextmanager
async def _locked(stage: Stage, statement: str) -> AsyncIterator[None]:
    async with await stage.cluster.connect() as somebody, somebody.transaction():
        await somebody.execute(statement.encode())
        yield


async def test_three_connections_are_enough_for_everybody(stage: Stage) -> None:
    async with stage.fault(
        "3 connections allowed for 6 s", MOSTLY_SERVED, answers_within(6), back_within(1.5)
    ) as fault:
        await stage.cluster.execute("ALTER ROLE todo CONNECTION LIMIT 3")
        await stage.cluster.terminate_sessions()
        fault.begins()
        await asyncio.sleep(6)
        await stage.cluster.execute("ALTER ROLE todo CONNECTION LIMIT -1")
        fault.ends()
