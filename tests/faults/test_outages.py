"""Outages: a database that is stopped, crashed or unreachable for a while."""

import asyncio

import pytest

from tests.faults.scenario import FELT, Stage, back_within, errors_within, responses_within

pytestmark = pytest.mark.scenario

BOUNDS = (FELT, responses_within(6), errors_within(2.5), back_within(1.5))


async def test_requests_fail_fast_while_connections_are_refused(stage: Stage) -> None:
    async with stage.fault("refused for 10 s", *BOUNDS) as fault:
        stage.between.refuse()
        fault.begins()
        await asyncio.sleep(10)
        await stage.between.listen()
        fault.ends()


async def test_requests_are_served_as_soon_as_a_restarted_database_is_back(stage: Stage) -> None:
    async with stage.fault("restarted, away for 3 s", *BOUNDS) as fault:
        fault.begins()
        await stage.cluster.stop()
        await asyncio.sleep(3)
        fault.ends(await stage.cluster.start())


async def test_requests_are_served_as_soon_as_a_crashed_database_has_recovered(stage: Stage) -> None:
    async with stage.fault("crashed, away for 3 s", *BOUNDS) as fault:
        fault.begins()
        await stage.cluster.crash()
        await asyncio.sleep(3)
        fault.ends(await stage.cluster.start())


async def test_requests_are_served_again_soon_after_a_backend_was_killed(stage: Stage) -> None:
    async with stage.fault("a backend killed", *BOUNDS[1:]) as fault:
        fault.begins()
        await stage.cluster.kill_a_backend()
        fault.ends(await stage.cluster.wait_until_ready())
