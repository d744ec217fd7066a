"""Database sessions that end: under load, and while idle, as when Neon suspends a compute."""

import asyncio

import pytest

from tests.faults.scenario import (
    NO_ERROR,
    ONLY_IN_FLIGHT,
    Stage,
    back_within,
    last_error_within,
    quantile_within,
    responses_within,
)

pytestmark = pytest.mark.scenario


async def test_without_a_fault_nothing_fails_or_is_slow(stage: Stage) -> None:
    async with stage.fault("none", NO_ERROR, quantile_within(0.99, 0.5)):
        await asyncio.sleep(10)


@pytest.mark.quick
async def test_when_every_session_is_terminated_at_most_requests_in_flight_fail(either: Stage) -> None:
    async with either.fault("sessions terminated", ONLY_IN_FLIGHT, last_error_within(1)) as fault:
        fault.begins()
        assert await either.cluster.terminate_sessions()
        fault.ends()


@pytest.mark.parametrize("way_of_ending", ["FIN", "RST", "termination"])
async def test_sessions_that_end_while_idle_are_replaced_without_errors(stage: Stage, way_of_ending: str) -> None:
    async with stage.fault(f"idle, ended by {way_of_ending}", NO_ERROR, responses_within(1.5)) as fault:
        await fault.pause_load()
        match way_of_ending:
            case "FIN":
                stage.between.close_connections()
            case "RST":
                stage.between.cut()
            case _:
                assert await stage.cluster.terminate_sessions()
        await asyncio.sleep(0.1)
        first = await asyncio.gather(*(load_.guest("first").create() for load_ in fault.loads))
        fault.expect(
            all(operation.done and operation.seconds <= 1.5 for operation in first),
            "the first task is created within 1.5 s",
        )
        fault.resume_load()


async def test_silently_dead_sessions_are_replaced(stage: Stage) -> None:
    async with stage.fault("idle, dead without a sign", responses_within(6), back_within(6)) as fault:
        await fault.pause_load()
        stage.between.forget()
        fault.begins()
        fault.ends()
        fault.resume_load()
        await asyncio.sleep(6)


@pytest.mark.parametrize("seconds", [0.5, 3])
async def test_requests_wait_for_a_database_that_is_waking_up(stage: Stage, seconds: float) -> None:
    async with stage.fault(f"wakes up in {seconds:g} s", NO_ERROR, responses_within(6)) as fault:
        await fault.pause_load()
        stage.between.forwarding.clear()
        stage.between.cut()
        fault.resume_load()
        await asyncio.sleep(seconds)
        stage.between.forwarding.set()
