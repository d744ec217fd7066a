"""Synchronous replication and failover."""

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
from tests.faults.scenario import FELT, READS_GO_ON, SECRET, Fault, Stage, back_within, responses_within
from tests.faults.standby import Pair, pair

pytestmark = pytest.mark.scenario


@pytest.fixture
async def replicated(tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(tmp_path) as running:
        settings = {"DATABASE_URL": url(running.primary.conninfo), "BETTER_AUTH_SECRET": SECRET}
        migrated = await asyncio.to_thread(Todo(tmp_path).run, "migrate", **settings)
        assert migrated.returncode == 0, migrated.stderr
        yield running


async def test_a_failover_behind_one_address_loses_no_acknowledged_write(
    stage: Stage, replicated: Pair, tmp_path: Path
) -> None:
    async with proxy(replicated.primary.conninfo) as between, program(tmp_path, between.conninfo) as serving:
        here = replace(stage, cluster=replicated.primary, between=between, address=serving.address)
        async with here.fault("standby promoted, one address", responses_within(6), back_within(5)) as fault:
            await asyncio.sleep(2)
            fault.begins()
            promoted = await replicated.fail_over()
            between.redirect(replicated.standby.port)
            fault.ends(promoted)


async def test_a_url_with_both_hosts_follows_a_failover(stage: Stage, replicated: Pair, tmp_path: Path) -> None:
    hosts = f"127.0.0.1:{replicated.primary.port},127.0.0.1:{replicated.standby.port}"
    both = f"postgresql://todo@{hosts}/todo?target_session_attrs=read-write&sslmode=disable&gssencmode=disable"
    async with program(tmp_path, both) as serving:
        here = replace(stage, cluster=replicated.primary, address=serving.address)
        async with here.fault("standby promoted, URL of both", responses_within(6), back_within(5)) as fault:
            await asyncio.sleep(2)
            fault.begins()
            fault.ends(await replicated.fail_over())


async def test_without_its_synchronous_standby_no_write_is_acknowledged_and_reads_succeed(
    stage: Stage, replicated: Pair, tmp_path: Path
) -> None:
    async with program(tmp_path, replicated.primary.conninfo) as serving:
        here = replace(stage, cluster=replicated.primary, address=serving.address)
        bounds = (FELT, READS_GO_ON, responses_within(6), back_within(5))
        async with here.fault("synchronous standby away for 6 s", *bounds) as fault:
            await replicated.standby.stop()
            fault.begins()
            await asyncio.sleep(6)
            ended = asyncio.get_running_loop().time()
            fault.expect(not _acknowledged(fault, until=ended), "no write acknowledged meanwhile")
            fault.expect("not confirmed in time" in (tmp_path / "log").read_text(), "the log reports it")
            fault.ends(await replicated.standby.start())


def _acknowledged(fault: Fault, until: float) -> list[Operation]:
    """Writes that began and were acknowledged although no standby could have flushed them."""
    return [
        operation
        for load_ in fault.loads
        for operation in load_.operations
        if operation.action not in ("get", "list") and operation.done and _wrote(operation)
        if fault.began < operation.began and operation.ended < until
    ]


def _wrote(operation: Operation) -> bool:
    """Whether it certainly wrote something: a change to the current value writes nothing."""
    return operation.action in ("create", "delete", "toggle")
