"""Attacks on HTTP, the network and the log, by clients that mean harm, while honest clients use the API."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from psycopg.conninfo import make_conninfo

from tests.faults.attack import under_attack
from tests.faults.attackers import HOARDER, attacks
from tests.faults.program import program
from tests.faults.report import AttackRow
from tests.faults.scenario import Stage

pytestmark = pytest.mark.scenario

SECONDS = {"drip": 13.0, "slow-readers": 13.0}  # the others: 4
QUICK = {"pipelining-50-anonymous-get", "slow-readers"}
NOBODY = "http://127.0.0.1:1"  # Better Auth, as the JWKS of unknown keys is looked for there


@dataclass
class Attacked:
    """The program, with one process or two."""

    stage: Stage
    rows: list[AttackRow]
    note: str

    async def by(self, name: str) -> None:
        async with under_attack(self.stage, self.rows, name, SECONDS.get(name, 4.0), self.note):
            pass


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "two"])
async def attacked(
    request: pytest.FixtureRequest,
    stage: Stage,
    attack_rows: list[AttackRow],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Attacked]:
    await hoard(stage)
    workers, database = request.param, make_conninfo(stage.cluster.conninfo, application_name="attacked")
    arguments = [] if workers == 1 else ["--workers", str(workers)]
    folder = tmp_path_factory.mktemp("attacked")
    async with program(folder, database, *arguments, BETTER_AUTH_URL=NOBODY) as serving:
        here = replace(stage, address=serving.address, process=serving.process.pid)
        yield Attacked(here, attack_rows, "" if workers == 1 else f", {workers} workers")


async def hoard(stage: Stage) -> None:
    """A list of 20 MB."""
    await stage.cluster.execute(f"DELETE FROM tasks WHERE user_id = '{HOARDER}'")
    await stage.cluster.execute(
        "INSERT INTO tasks (user_id, title, description, completed, created_at, updated_at) "
        f"SELECT '{HOARDER}', 'x', repeat('x', 5000), false, now(), now() FROM generate_series(1, 4000)"
    )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.quick] if name in QUICK else []) for name in attacks()]
)
async def test_honest_clients_are_served_within_the_budget_during(name: str, attacked: Attacked) -> None:
    await attacked.by(name)
