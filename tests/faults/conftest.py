"""The program, its database and a proxy between them; the results of all faults are printed at the end of the run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from tests.cli.conftest import Todo
from tests.databases import url
from tests.faults.cluster import Cluster, ClusterOnSmallDisk, running
from tests.faults.program import program
from tests.faults.proxy import proxy
from tests.faults.report import ATTACK_HEAD, ATTACKS, FAULTS, AttackRow, Row, table, write
from tests.faults.scenario import SECRET, Stage

_ROWS = pytest.StashKey[list[Row]]()
_ATTACKS = pytest.StashKey[list[AttackRow]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--report", type=Path, help="the document to write the table of faults into")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = []
    config.stash[_ATTACKS] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    faults, attacks = config.stash[_ROWS], config.stash[_ATTACKS]
    tables = {
        FAULTS: table(faults) if faults else [],
        ATTACKS: table(attacks, ATTACK_HEAD) if attacks else [],
    }
    for name, lines in tables.items():
        if lines:
            terminalreporter.section(name)
            terminalreporter.write_line("\n".join(lines))
            if config.option.report:
                write(lines, config.option.report, name)


@pytest.fixture(scope="session")
def rows(pytestconfig: pytest.Config) -> list[Row]:
    return pytestconfig.stash[_ROWS]


@pytest.fixture(scope="session")
def attack_rows(pytestconfig: pytest.Config) -> list[AttackRow]:
    return pytestconfig.stash[_ATTACKS]


@pytest.fixture(scope="session")
async def stage(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> AsyncIterator[Stage]:
    """One process with both contracts and one database server, shared by most scenarios."""
    folder = tmp_path_factory.mktemp("stage")
    async with _stage(Cluster(folder / "data"), folder, rows) as ready:
        yield ready


@pytest.fixture(scope="session")
async def unbatched(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """The same, with a process that runs without batching."""
    async with program(tmp_path_factory.mktemp("unbatched"), stage.between.conninfo, batching=False) as serving:
        yield replace(stage, address=serving.address, process=serving.process.pid, note=", no batching")


@pytest.fixture(params=[True, False], ids=["batching", "no_batching"])
def either(request: pytest.FixtureRequest, stage: Stage, unbatched: Stage) -> Stage:
    """Tests that use this fixture run with batching and without."""
    return stage if request.param else unbatched


@pytest.fixture
async def stage_on_small_disk(tmp_path: Path, rows: list[Row]) -> AsyncIterator[Stage]:
    cluster = ClusterOnSmallDisk(tmp_path / "data")
    async with _stage(cluster, tmp_path, rows) as ready:
        await cluster.move_tasks_to_disk()
        yield ready


@asynccontextmanager
async def _stage(cluster: Cluster, folder: Path, rows: list[Row]) -> AsyncIterator[Stage]:
    async with running(cluster), proxy(cluster.conninfo) as between:
        settings = {"DATABASE_URL": url(between.conninfo), "BETTER_AUTH_SECRET": SECRET}
        migrated = await asyncio.to_thread(Todo(folder).run, "migrate", **settings)
        assert migrated.returncode == 0, migrated.stderr
        async with program(folder, make_conninfo(between.conninfo, application_name="stage")) as serving:
            yield Stage(cluster, between, serving.address, serving.process.pid, rows)
