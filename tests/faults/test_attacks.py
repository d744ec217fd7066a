"""Attacks on HTTP, the network and the log, by clients that mean harm, while honest clients use the API."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
from psycopg.conninfo import make_conninfo

from tests.cli.conftest import Serving, Todo, processes
from tests.databases import url
from tests.faults.attack import under_attack
from tests.faults.attackers import EMOJI, HOARDER, attacks, token
from tests.faults.program import program, warm_up
from tests.faults.proxy import proxy
from tests.faults.report import AttackRow, Row
from tests.faults.scenario import SECRET, Stage

pytestmark = pytest.mark.scenario

SECONDS = {  # the others: 4
    "drip": 13.0,
    "slow-readers": 13.0,
    "slow-readers-emoji": 13.0,
    "slow-readers-emoji-pages": 13.0,
}
QUICK = {"pipelining-50-anonymous-get"}
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
    """Two lists of 20 MB."""
    for user, text, length, tasks in ((HOARDER, "x", 5000, 4000), (EMOJI, "\N{PARTY POPPER}", 5000, 1000)):
        await stage.cluster.execute(f"DELETE FROM tasks WHERE user_id = '{user}'")
        await stage.cluster.execute(
            "INSERT INTO tasks (user_id, title, description, completed, created_at, updated_at) "
            f"SELECT '{user}', 'x', repeat('{text}', {length}), false, now(), now() FROM generate_series(1, {tasks})"
        )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.quick] if name in QUICK else []) for name in attacks()]
)
async def test_honest_clients_are_served_within_the_budget_during(name: str, attacked: Attacked) -> None:
    await attacked.by(name)


class TodoWithPipe(Todo):
    """Standard error is a pipe."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pipe = folder / "stderr"
        os.mkfifo(self.pipe)

    def command(self, *arguments: str) -> list[str]:
        return ["sh", "-c", 'exec "$0" "$@" 2>stderr', *super().command(*arguments)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("reader", ["stops", "leaves"])
async def test_the_reader_of_the_log_does_not_decide_over_the_server(
    reader: str, workers: int, stage: Stage, attack_rows: list[AttackRow], tmp_path: Path
) -> None:
    todo = TodoWithPipe(tmp_path)
    reading = os.open(todo.pipe, os.O_RDONLY | os.O_NONBLOCK)
    settings = {"DATABASE_URL": url(stage.cluster.conninfo), "BETTER_AUTH_SECRET": SECRET}
    arguments = [] if workers == 1 else ["--workers", str(workers)]
    serving = await asyncio.to_thread(todo.serve(*arguments, **settings).__enter__)
    try:
        await warm_up(serving.address)
        if reader == "leaves":
            os.close(reading)
            serving.process.stdout.close()  # type: ignore[union-attr]
        here = replace(stage, address=serving.address, process=serving.process.pid)
        note = f", the log's reader {reader}" + ("" if workers == 1 else f", {workers} workers")
        async with under_attack(here, attack_rows, "broken-token", 4.0, note):
            pass
        serving.process.terminate()
        assert await asyncio.to_thread(serving.process.wait, 15) == 0
    finally:
        serving.process.kill()
        serving.process.stdout.close()  # type: ignore[union-attr]
        if reader == "stops":
            os.close(reading)


async def test_few_descriptors_are_enough_to_refuse_connections(
    stage: Stage, attack_rows: list[AttackRow], tmp_path: Path
) -> None:
    todo = TodoWithFewDescriptors(tmp_path)
    settings = {"DATABASE_URL": url(stage.cluster.conninfo), "BETTER_AUTH_SECRET": SECRET}
    serving = await asyncio.to_thread(todo.serve(**settings).__enter__)
    try:
        await warm_up(serving.address)
        here = replace(stage, address=serving.address, process=serving.process.pid)
        async with under_attack(here, attack_rows, "idle", 4.0, ", 256 descriptors"):
            pass
        assert "the limit on open files is 256" in (tmp_path / "log").read_text()
    finally:
        await asyncio.to_thread(serving.__exit__)


class TodoWithFewDescriptors(Todo):
    def command(self, *arguments: str) -> list[str]:
        return ["sh", "-c", 'ulimit -n 256 && exec "$0" "$@"', *super().command(*arguments)]


async def test_a_server_with_a_thousand_idle_connections_stops_in_time(stage: Stage, tmp_path: Path) -> None:
    async with program(tmp_path, stage.cluster.conninfo) as serving:
        host, port = serving.address.removeprefix("http://").split(":")
        opened = [await asyncio.open_connection(host, int(port)) for _ in range(900)]
        for _, writer in opened:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answers = [await reader.readuntil(b"ok") for reader, _ in opened if not reader.at_eof()]
        began = asyncio.get_running_loop().time()
        assert await asyncio.to_thread(serving.stop) == 0
        assert asyncio.get_running_loop().time() - began < 10
        assert len(answers) == len(opened)
        for _, writer in opened:
            writer.close()


def kill(serving: Serving) -> None:
    for process in processes(serving.process.pid):
        os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_server_whose_database_hangs_stops_in_time(workers: int, stage: Stage, tmp_path: Path) -> None:
    arguments = [] if workers == 1 else ["--workers", str(workers)]
    clock = asyncio.get_running_loop().time
    async with (
        proxy(stage.cluster.conninfo) as between,
        program(tmp_path, between.conninfo, *arguments) as serving,
        httpx2.AsyncClient(base_url=serving.address, timeout=20, trust_env=False) as client,
    ):
        between.to_server.clear()
        between.black_hole()
        began = clock()
        responding = asyncio.create_task(client.get("/api/tasks", headers={"Authorization": f"Bearer {token()}"}))
        await between.swallowed.wait()
        giving_up = asyncio.get_running_loop().call_later(30, kill, serving)
        code = await asyncio.to_thread(serving.stop)
        giving_up.cancel()
        took = clock() - began
        response = await responding
        responded = response.elapsed.total_seconds()
    must = {
        "503 within 6 s": response.status_code == 503 and responded <= 6,
        "exit 0 within 10 s": code == 0 and took <= 10,
    }
    missed = [f"not: {words}" for words, kept in must.items() if not kept]
    name = "SIGTERM while the database hangs" + ("" if workers == 1 else f", {workers} workers")
    stage.rows.append(Row(name, 1, 1, 1, f"{responded:.2f} s", "", ", ".join(must), "; ".join(missed) or "held"))
    assert missed == []
