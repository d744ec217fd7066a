"""The backup of `docs/how-to/backup-and-restore.md`: its commands, run under load and into an empty server."""

import asyncio
import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2

from adapters.better_auth.identity import ExpectedClaims, sign
from domain.values import UserId
from entrypoints.cli import local_postgres
from tests.cli.conftest import Todo
from tests.databases import url
from tests.deploy.installation import ROOT
from tests.faults.cluster import Cluster, running
from tests.faults.load import CONTRACTS, Operation, load
from tests.faults.program import program
from tests.faults.scenario import SECRET

GUIDE = (ROOT / "docs/how-to/backup-and-restore.md").read_text()


def command(name: str) -> str:
    """The command line of the guide that begins with this word."""
    [line] = re.findall(rf"^{name} .*$", GUIDE, flags=re.MULTILINE)
    return str(line)


async def run(line: str, folder: Path, **variables: str) -> None:
    """With the client tools that belong to the server."""
    path = f"{local_postgres._binaries()}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **variables}
    done = await asyncio.to_thread(
        subprocess.run, ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def client(address: str, user: str) -> httpx2.AsyncClient:
    token = sign(UserId(user), SECRET, ExpectedClaims(), seconds=600)
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(base_url=address, headers=headers, timeout=30, trust_env=False)


async def tasks_of(address: str, user: str) -> dict[int, Any]:
    async with client(address, user) as http:
        return {task["id"]: task for task in (await http.get("/api/tasks")).json()}


class Acknowledged:
    """What the API acknowledged to one user, in relation to a snapshot between two moments."""

    def __init__(self, operations: Sequence[Operation], began: float, ended: float) -> None:
        created = {op.body["id"]: op for op in operations if op.action == "create" and op.done}
        deletions = [op for op in operations if op.action == "delete"]
        self.ids = {*created}
        self.must_exist = {id_ for id_, op in created.items() if op.ended < began} - {
            op.task for op in deletions if op.began < ended
        }
        self.must_not_exist = {op.task for op in deletions if op.done and op.ended < began}
        self.states: dict[int, list[Any]] = {id_: [] for id_ in created}
        self.latest: dict[int, str] = {}
        for op in operations:
            if op.done and isinstance(op.body, dict):
                task = op.body["id"]
                self.states[task].append(op.body)
                if op.ended < began:
                    self.latest[task] = max(self.latest.get(task, ""), op.body["updated_at"])


async def test_a_dump_under_load_restores_every_task_that_was_acknowledged_before_it(tmp_path: Path) -> None:
    source, target = Cluster(tmp_path / "source"), Cluster(tmp_path / "target")
    clock = asyncio.get_running_loop().time
    async with running(source), running(target):
        before = {"DATABASE_URL": url(source.conninfo), "BETTER_AUTH_SECRET": SECRET}
        restored = {"RESTORED_URL": url(target.conninfo)}
        migrated = await asyncio.to_thread(Todo(tmp_path).run, "migrate", **before)
        assert migrated.returncode == 0, migrated.stderr
        async with program(tmp_path, source.conninfo) as server, AsyncExitStack() as stack:
            async with client(server.address, "retrying") as http:
                key = {"Idempotency-Key": "before-the-dump"}
                first = await http.post("/api/tasks", json={"title": "Once"}, headers=key)
                assert first.status_code == 201
            loads = [
                await stack.enter_async_context(load(server.address, contract, SECRET, "backup"))
                for contract in CONTRACTS
            ]
            await asyncio.sleep(3)
            began = clock()
            await run(command("pg_dump"), tmp_path, **before)
            ended = clock()
            await asyncio.sleep(1)
            for each in loads:
                each.stop()
        await run(command("pg_restore"), tmp_path, **restored)

        after = {**before, "DATABASE_URL": restored["RESTORED_URL"]}
        checked = await asyncio.to_thread(Todo(tmp_path).run, "doctor", **after)
        assert checked.returncode == 0, checked.stdout
        compared = 0
        async with program(tmp_path, target.conninfo) as server:
            for user in [user for each in loads for user in each.users]:
                assert not [operation for operation in user.operations if operation.failed]
                acknowledged = Acknowledged(user.operations, began, ended)
                found = await tasks_of(server.address, user.name)
                assert acknowledged.must_exist <= found.keys() <= acknowledged.ids - acknowledged.must_not_exist
                for id_, task in found.items():
                    assert task in acknowledged.states[id_], "a state that the API never reported"
                    assert task["updated_at"] >= acknowledged.latest.get(id_, ""), "older than what was acknowledged"
                compared += len(found)
            async with client(server.address, "retrying") as http:
                again = await http.post("/api/tasks", json={"title": "Once"}, headers=key)
                assert (again.status_code, again.json()) == (201, first.json())
                new = await http.post("/api/tasks", json={"title": "Afterwards"})
                assert new.status_code == 201
        ids = [id_ for [id_] in await target.execute("SELECT id FROM tasks")]
        assert len(ids) == len({*ids}), "an ID was assigned twice"
        assert compared > 20
