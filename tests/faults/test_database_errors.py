"""A reachable database that refuses statements: read-only, full disk, transient SQLSTATEs, rollbacks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg
import pytest

from tests.faults.cluster import Cluster
from tests.faults.scenario import FELT, NO_ERROR, READS_GO_ON, Stage, back_within, responses_within

pytestmark = pytest.mark.scenario

BOUNDS = (FELT, READS_GO_ON, responses_within(6), back_within(1.5))
TRANSIENT = [
    *("08000", "08003", "08006", "25006", "53000", "53100", "53200", "53300", "53400", "55P03"),
    *("57000", "57014", "57P01", "57P02", "57P03", "57P05", "58000", "58030"),
]
ROLLED_BACK = ["40001", "40P01"]


async def test_reads_succeed_and_writes_fail_on_a_read_only_database(stage: Stage) -> None:
    async with stage.fault("read-only for 4 s", *BOUNDS) as fault:
        await _read_only(stage.cluster, "on")
        fault.begins()
        await asyncio.sleep(4)
        await _read_only(stage.cluster, "off")
        fault.ends()


async def _read_only(cluster: Cluster, value: str) -> None:
    await cluster.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    await cluster.execute("SELECT pg_reload_conf()")


async def test_writes_fail_on_a_full_disk_until_there_is_space(stage_on_small_disk: Stage) -> None:
    cluster = stage_on_small_disk.cluster
    async with stage_on_small_disk.fault("disk full for 4 s", *BOUNDS) as fault:
        await _fill_disk(cluster)
        fault.begins()
        await asyncio.sleep(4)
        await cluster.execute("DROP TABLE filler")
        fault.ends()


async def _fill_disk(cluster: Cluster) -> None:
    """Fills the disk until the table `filler` is dropped."""
    await cluster.execute("CREATE TABLE filler (space text) WITH (autovacuum_enabled = off) TABLESPACE small")
    with suppress(psycopg.errors.DiskFull):  # rows written until then remain
        while True:
            await cluster.execute("INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 1000)")


async def test_transient_errors_are_reported_as_unavailable(stage: Stage) -> None:
    async with stage.fault(f"writes raise {len(TRANSIENT)} SQLSTATEs", *BOUNDS) as fault:
        for sqlstate in TRANSIENT:
            failed = fault.failures()
            async with _raised(stage.cluster, sqlstate, every=1):
                await asyncio.sleep(0.6)
            fault.expect(fault.failures() > failed, f"{sqlstate} refuses writes")
        fault.ends()


@pytest.mark.parametrize("sqlstate", ROLLED_BACK)
async def test_rolled_back_writes_are_retried(stage: Stage, sqlstate: str) -> None:
    async with (
        stage.fault(f"every other write raises {sqlstate}", NO_ERROR, responses_within(6)),
        _raised(stage.cluster, sqlstate, every=2),
    ):
        await asyncio.sleep(3)


@asynccontextmanager
async def _raised(cluster: Cluster, sqlstate: str, *, every: int) -> AsyncIterator[None]:
    """Every `every`-th statement that writes raises the SQLSTATE."""
    await cluster.execute("CREATE SEQUENCE writes")
    await cluster.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$BEGIN "
        f"IF nextval('writes') % {every} = 0 THEN RAISE EXCEPTION 'by a test' USING ERRCODE = '{sqlstate}'; END IF;"
        "RETURN NULL; END$$"
    )
    await cluster.execute("CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON tasks EXECUTE FUNCTION refuse()")
    yield
    await cluster.execute("DROP FUNCTION refuse CASCADE")
    await cluster.execute("DROP SEQUENCE writes")
