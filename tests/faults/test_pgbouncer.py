"""Faults behind PgBouncer in transaction mode, without support for prepared statements."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from adapters.postgres.pool import Pool
from tests.faults.pgbouncer import PgBouncer, running_pgbouncer
from tests.faults.program import program
from tests.faults.scenario import (
    FELT,
    NO_ERROR,
    Stage,
    back_within,
    last_error_within,
    quantile_within,
    responses_within,
)

pytestmark = pytest.mark.scenario


@pytest.fixture(scope="module")
async def bouncer(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PgBouncer]:
    async with running_pgbouncer(stage.cluster, tmp_path_factory.mktemp("bouncer")) as running:
        yield running


@pytest.fixture(scope="module")
async def behind(stage: Stage, bouncer: PgBouncer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("behind")
    async with program(folder, bouncer.url) as serving:
        yield replace(stage, address=serving.address, process=serving.process.pid)


async def test_pgbouncer_is_noticed_and_no_statement_fails_or_is_taken_for_another(
    stage: Stage, bouncer: PgBouncer
) -> None:
    """Two processes that prepare the same kinds of statements in different order, on the same sessions."""
    pools = [Pool(bouncer.url, connections=8, prepare=None) for _ in range(2)]
    queries = [b"SELECT $1::int + %d" % number for number in range(20)]

    async def runs(pool: Pool, order: Sequence[bytes]) -> None:
        deadline = asyncio.get_running_loop().time() + 60
        for _ in range(5):
            rows = await asyncio.gather(*(pool.run(query, ["1000"], deadline) for query in order))
            assert [number for [(number,)] in rows] == [1000 + queries.index(query) for query in order]

    await asyncio.gather(runs(pools[0], queries), runs(pools[1], queries[::-1]))
    for pool in pools:
        await pool.close()


async def test_through_pgbouncer_nothing_fails_or_is_slow(behind: Stage) -> None:
    async with behind.fault("PgBouncer, no fault", NO_ERROR, quantile_within(0.99, 0.5)):
        await asyncio.sleep(5)


async def test_a_restart_of_pgbouncer_is_survived(behind: Stage, bouncer: PgBouncer) -> None:
    async with behind.fault("PgBouncer restarted", responses_within(6), back_within(1.5)) as fault:
        fault.begins()
        await bouncer.stop()
        await bouncer.start()
        fault.ends()


async def test_no_request_waits_more_than_six_seconds_for_a_paused_pgbouncer(behind: Stage, bouncer: PgBouncer) -> None:
    async with behind.fault("PgBouncer paused for 8 s", FELT, responses_within(6), back_within(2.5)) as fault:
        await bouncer.command("PAUSE")
        fault.begins()
        await asyncio.sleep(8)
        await bouncer.command("RESUME")
        fault.ends()


async def test_sessions_terminated_behind_pgbouncer_are_replaced(behind: Stage) -> None:
    async with behind.fault("terminated behind PgBouncer", last_error_within(1)) as fault:
        fault.begins()
        assert await behind.cluster.terminate_sessions()
