"""PgBouncer in transaction mode, which knows no prepared statements."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.faults.bouncer import Bouncer, bouncing
from tests.faults.program import program
from tests.faults.scenario import FELT, NO_ERROR, Stage, answers_within, back_within, last_error_within, quantile_within

pytestmark = pytest.mark.scenario


@pytest.fixture(scope="module")
async def bouncer(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bouncer]:
    async with bouncing(stage.cluster, tmp_path_factory.mktemp("bouncer")) as running:
        yield running


@pytest.fixture(scope="module")
async def behind(stage: Stage, bouncer: Bouncer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("behind")
    async with program(folder, bouncer.url, DATABASE_PREPARED_STATEMENTS="false") as serving:
        yield replace(stage, address=serving.address, process=serving.process.pid)


async def test_through_a_bouncer_nothing_fails_and_nobody_waits(behind: Stage) -> None:
    async with behind.fault("PgBouncer, no fault", NO_ERROR, quantile_within(0.99, 0.5)):
        await asyncio.sleep(5)


async def test_a_bouncer_that_is_restarted_is_found_again(behind: Stage, bouncer: Bouncer) -> None:
    async with behind.fault("PgBouncer restarted", answers_within(6), back_within(1.5)) as fault:
        fault.begins()
        await bouncer.stop()
        await bouncer.start()
        fault.ends()


async def test_a_bouncer_that_is_paused_is_not_waited_for_longer_than_six_seconds(
    behind: Stage, bouncer: Bouncer
) -> None:
    async with behind.fault("PgBouncer paused for 8 s", FELT, answers_within(6), back_within(2.5)) as fault:
        await bouncer.tell("PAUSE")
        fault.begins()
        await asyncio.sleep(8)
        await bouncer.tell("RESUME")
        fault.ends()


async def test_sessions_that_end_behind_a_bouncer_are_replaced(behind: Stage) -> None:
    async with behind.fault("terminated behind PgBouncer", last_error_within(1)) as fault:
        fault.begins()
        assert await behind.cluster.terminate_sessions()
