"""Contention: a locked table, a locked row, a limit of three connections."""

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
    back_within,
    quantile_within,
    responses_within,
)

pytestmark = pytest.mark.scenario


async def test_no_request_waits_more_than_six_seconds_for_a_locked_table(stage: Stage) -> None:
    async with stage.fault("table locked for 6 s", FELT, responses_within(6), back_within(1.5)) as fault:
        async with _locked(stage, "LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"):
            fault.begins()
            await asyncio.sleep(6)
        fault.ends()


async def test_a_contended_locked_row_delays_no_other_request(stage: Stage) -> None:
    async with stage.fault("row locked for 6 s, 30 want it", NO_ERROR, quantile_within(0.99, 0.5)) as fault:
        users = [load_.guest("contending") for load_ in fault.loads]
        tasks = [(await user.create()).body["id"] for user in users]
        async with _locked(stage, f"SELECT FROM tasks WHERE id IN ({tasks[0]}, {tasks[1]}) FOR UPDATE"):
            waiting = [asyncio.create_task(_change(user, task)) for user, task in zip(users, tasks, strict=True)]
            await asyncio.sleep(6)
        for slowest in await asyncio.gather(*waiting):
            fault.expect(slowest <= 6, "responses within 6 s for the locked row")


async def _change(user: User, task: int) -> float:
    """Seconds of the slowest response."""
    changes = [user.retitle(task, f"{user.operations[0].body['title']}") for _ in range(15)]
    return max(operation.seconds for operation in await asyncio.gather(*changes))


@asynccontextmanager
async def _locked(stage: Stage, statement: str) -> AsyncIterator[None]:
    async with await stage.cluster.connect() as connection, connection.transaction():
        await connection.execute(statement.encode())
        yield


async def test_three_connections_are_enough_to_serve_nearly_all_requests(stage: Stage) -> None:
    async with stage.fault(
        "3 connections allowed for 6 s", MOSTLY_SERVED, responses_within(6), back_within(1.5)
    ) as fault:
        await stage.cluster.execute("ALTER ROLE todo CONNECTION LIMIT 3")
        await stage.cluster.terminate_sessions()
        fault.begins()
        await asyncio.sleep(6)
        await stage.cluster.execute("ALTER ROLE todo CONNECTION LIMIT -1")
        fault.ends()
