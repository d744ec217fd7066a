"""A database that is not there for a while."""

import asyncio

import pytest

from tests.faults.scenario import FELT, Stage, answers_within, back_within, errors_within

pytestmark = pytest.mark.scenario

BOUNDS = (FELT, answers_within(6), errors_within(2.5), back_within(1.5))


async def test_while_connections_are_refused_everybody_is_told_soon(stage: Stage) -> None:
    async with stage.fault("refused for 10 s", *BOUNDS) as fault:
        stage.between.refuse()
        fault.begins()
        await asyncio.sleep(10)
        await stage.between.listen()
        fault.ends()


async def test_an_orderly_restart_is_over_when_the_database_is_back(stage: Stage) -> None:
    async with stage.fault("restarted, away for 3 s", *BOUNDS) as fault:
        fault.begins()
        await stage.cluster.stop()
        await asyncio.sleep(3)
        fault.ends(await stage.cluster.start())


async def test_a_crash_is_over_when_the_database_has_recovered(stage: Stage) -> None:
    async with stage.fault("crashed, away for 3 s", *BOUNDS) as fault:
        fault.begins()
        await stage.cluster.crash()
        await asyncio.sleep(3)
        fault.ends(await stage.cluster.start())


async def test_a_killed_backend_takes_all_sessions_with_it_for_a_moment(stage: Stage) -> None:
    async with stage.fault("a backend killed", *BOUNDS[1:]) as fault:
        fault.begins()
        await stage.cluster.kill_a_backend()
        fault.ends(await stage.cluster.when_it_answers())
