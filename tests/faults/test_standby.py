"""Commits that wait for a synchronous standby, and the day when it is needed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.conftest import Todo
from tests.databases import url
from tests.faults.load import Operation
from tests.faults.program import program
from tests.faults.proxy import proxy
from tests.faults.scenario import FELT, READS_GO_ON, SECRET, Fault, Stage, answers_within, back_within
from tests.faults.standby import Pair, pair

pytestmark = pytest.mark.scenario


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(tmp_path) as running:
        settings = {"DATABASE_URL": url(running.primary.conninfo), "BETTER_AUTH_SECRET": SECRET}
        migrated = await asyncio.to_thread(Todo(tmp_path).run, "migrate", **settings)
        assert migrated.returncode == 0, migrated.stderr
        yield running


async def test_a_standby_that_takes_over_behind_one_address_has_all_that_was_acknowledged(
    stage: Stage, two: Pair, tmp_path: Path
) -> None:
    async with proxy(two.primary.conninfo) as between, program(tmp_path, between.conninfo) as serving:
        here = replace(stage, cluster=two.primary, between=between, address=serving.address)
        async with here.fault("standby promoted, one address", answers_within(6), back_within(5)) as fault:
            await asyncio.sleep(2)
            fault.begins()
            promoted = await two.fail_over()
            between.lead_to(two.standby.port)
            fault.ends(promoted)


async def test_a_standby_that_takes_over_is_found_by_a_url_of_both(stage: Stage, two: Pair, tmp_path: Path) -> None:
    hosts = f"127.0.0.1:{two.primary.port},127.0.0.1:{two.standby.port}"
    both = f"postgresql://todo@{hosts}/todo?target_session_attrs=read-write&sslmode=disable&gssencmode=disable"
    async with program(tmp_path, both) as serving:
        here = replace(stage, cluster=two.primary, address=serving.address)
        async with here.fault("standby promoted, URL of both", answers_within(6), back_within(5)) as fault:
            await asyncio.sleep(2)
            fault.begins()
            fault.ends(await two.fail_over())


async def test_while_the_standby_is_away_no_write_is_acknowledged_and_reads_go_on(
    stage: Stage, two: Pair, tmp_path: Path
) -> None:
    async with program(tmp_path, two.primary.conninfo) as serving:
        here = replace(stage, cluster=two.primary, address=serving.address)
        bounds = (FELT, READS_GO_ON, answers_within(6), back_within(5))
        async with here.fault("synchronous standby away for 6 s", *bounds) as fault:
            await two.standby.stop()
            fault.begins()
            await asyncio.sleep(6)
            ended = asyncio.get_running_loop().time()
            fault.expect(not _acknowledged(fault, until=ended), "no write acknowledged meanwhile")
            fault.expect("not confirmed in time" in (tmp_path / "log").read_text(), "the log tells")
            fault.ends(await two.standby.start())


def _acknowledged(fault: Fault, until: float) -> list[Operation]:
    """Writes that began and were answered while nobody could have written them down twice."""
    return [
        operation
        for load_ in fault.loads
        for operation in load_.operations
        if operation.action not in ("get", "list") and operation.done and _moved(operation)
        if fault.began < operation.began and operation.ended < until
    ]


def _moved(operation: Operation) -> bool:
    """Whether it wrote anything: what is so already is not written again."""
    return operation.action in ("create", "delete", "toggle")
