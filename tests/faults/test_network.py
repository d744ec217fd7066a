"""Network faults: stalled, lost and reset packets; latency."""

import asyncio

import pytest

from entrypoints.settings import Settings
from tests.faults.load import User
from tests.faults.scenario import FELT, NO_ERROR, Fault, Stage, back_within, responses_within

pytestmark = pytest.mark.scenario

BOUNDS = (FELT, responses_within(6), back_within(2.5))
SECONDS = 8
ADDED = b"new_id"  # a column in the result of the statement that adds a task


async def test_stalled_packets_delay_no_response_by_more_than_six_seconds(stage: Stage) -> None:
    async with stage.fault(f"packets stalled for {SECONDS} s", *BOUNDS) as fault:
        stage.between.to_server.clear()
        stage.between.to_client.clear()
        fault.begins()
        await asyncio.sleep(SECONDS)
        stage.between.to_server.set()
        stage.between.to_client.set()
        fault.ends()
        await _expect_few_sessions(stage, fault)


async def test_stalled_responses_cause_no_duplicate_writes(stage: Stage) -> None:
    async with stage.fault(f"results stalled for {SECONDS} s", *BOUNDS) as fault:
        stage.between.to_client.clear()
        fault.begins()
        await asyncio.sleep(SECONDS)
        stage.between.to_client.set()
        fault.ends()
        await _expect_few_sessions(stage, fault)


async def _expect_few_sessions(stage: Stage, fault: Fault) -> None:
    """Abandoned connection attempts must not leave sessions behind: they are limited and shared."""
    await asyncio.sleep(1)
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stage'"
    [[sessions]] = await stage.cluster.execute(count)
    fault.expect(
        0 < sessions <= Settings.model_fields["database_connections"].default, "8 sessions at most, a second later"
    )


@pytest.mark.parametrize("seconds", [5, SECONDS])  # two durations, so that no timeout happens to match both
async def test_every_request_gets_a_response_despite_a_black_hole(stage: Stage, seconds: int) -> None:
    async with stage.fault(f"black hole for {seconds} s", *BOUNDS) as fault:
        stage.between.black_hole()
        fault.begins()
        await asyncio.sleep(seconds)
        await stage.between.listen()
        fault.ends()


@pytest.mark.parametrize("seconds", [5, SECONDS])
async def test_a_server_that_accepts_connections_and_stays_silent_times_out(stage: Stage, seconds: int) -> None:
    async with stage.fault(f"accepts, silent for {seconds} s", *BOUNDS) as fault:
        stage.between.forwarding.clear()
        stage.between.cut()
        fault.begins()
        await asyncio.sleep(seconds)
        stage.between.forwarding.set()
        fault.ends()


async def test_requests_are_served_again_after_a_flapping_network(stage: Stage) -> None:
    async with stage.fault("flapping every 300 ms", *BOUNDS[1:]) as fault:
        fault.begins()
        for _ in range(13):
            stage.between.refuse()
            await asyncio.sleep(0.3)
            await stage.between.listen()
            await asyncio.sleep(0.3)
        fault.ends()


async def test_a_slow_network_causes_no_errors(stage: Stage) -> None:
    async with stage.fault("30 ms more each way", NO_ERROR, responses_within(6)):
        stage.between.delay_seconds = 0.03
        await asyncio.sleep(5)
        stage.between.delay_seconds = 0


@pytest.mark.quick
async def test_a_commit_whose_result_is_lost_is_neither_repeated_nor_acknowledged(either: Stage) -> None:
    async with either.fault("COMMIT delivered, result lost", FELT, responses_within(6), back_within(2.5)) as fault:
        fault.begins()
        for result in [ADDED, b"UPDATE", b"DELETE", b"SELECT"] * 10:
            either.between.result_to_lose = result
            await asyncio.sleep(0.1)
        async with asyncio.timeout(120):  # creations are rare: some of each contract must be affected
            while not all(any(operation.failed for operation in load_.operations) for load_ in fault.loads):
                either.between.result_to_lose = ADDED
                await asyncio.sleep(0.1)
        fault.ends()
        await fault.pause_load()
        for load_ in fault.loads:
            await _create_without_results(load_.guest(f"unlucky-{either.process}"), either, fault)
        fault.resume_load()


async def _create_without_results(user: User, stage: Stage, fault: Fault) -> None:
    for _ in range(10):
        stage.between.result_to_lose = ADDED
        fault.expect((await user.create()).failed, "no creation is acknowledged whose result was lost")
    fault.expect(len((await user.list()).body) == 10, "each of them is there once")
