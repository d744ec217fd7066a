"""Frontends of this product's family, played over HTTP: each row of `docs/reference/frontends.md` is one.

A frontend lists, creates, edits, completes, reopens and deletes a task in its own way, and believes what it reads.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from entrypoints.settings import Settings
from tests.http.conftest import bearer, client, shared
from tests.http.frontends import FRONTENDS, SETTINGS, WHOLE, Frontend, Step, Task


class Misled(Exception):
    """The frontend read something else than it expected."""


class Player:
    """Plays a frontend as its user would see it."""

    def __init__(self, frontend: Frontend, web: httpx2.AsyncClient) -> None:
        self.frontend, self.web, self.path = frontend, web, frontend.path

    async def send(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        response = await (self.web.request(method, path) if body is None else self.web.request(method, path, json=body))
        if response.status_code >= 400:
            raise Misled(f"{method} {path}: {response.status_code} {response.text}")
        return response

    async def list(self) -> Sequence[Task]:
        body = (await self.send("GET", self.path + self.frontend.query)).json()
        tasks = self.inside(body, self.frontend.lists)
        if not isinstance(tasks, list):
            raise Misled("a list is no array")
        for task in tasks:
            self.check(task)
        return tasks

    def inside(self, body: Any, member: str | None) -> Any:
        if member and not (isinstance(body, dict) and member in body):
            raise Misled(f"there is no {member} in the response")
        return body[member] if member else body

    def check(self, task: Task) -> None:
        """What a row renders."""
        if not {"id", "title", self.frontend.done} <= task.keys() or not task.items() >= self.frontend.reads.items():
            raise Misled(f"a row lacks a member: {task}")

    def is_done(self, task: Task) -> bool:
        return task[self.frontend.done] in (True, "complete")

    async def change(self, task: Task, step: Step) -> Task:
        method, path, body = step
        if body is WHOLE:
            done = self.frontend.done
            other = not task[done] if done != "status" else "incomplete" if self.is_done(task) else "complete"
            body = {**task, done: other}
        response = await self.send(method, f"{self.path.rstrip('/')}/{task['id']}{path}", body)
        changed: Task = self.inside(response.json(), self.frontend.ones)
        self.check(changed)
        return changed

    async def find(self, task: Task) -> Task:
        return next(found for found in await self.list() if found["id"] == task["id"])

    async def play(self) -> None:
        if self.frontend.asks_who_i_am:
            self.path = self.path.replace("{me}", (await self.send("GET", "/api/users/me")).json()["id"])
        if await self.list():
            raise Misled("a new user has tasks")
        first, second = [await self.create(title) for title in ("Buy milk", "Buy bread")]
        newest_first = [task["id"] for task in await self.list()] == [second["id"], first["id"]]
        if self.frontend.newest_first not in (None, newest_first):
            raise Misled("the list has another order")
        task = await self.change(second, self.frontend.edit)
        if task["title"] != "Buy tea" or self.is_done(task):
            raise Misled("the edit did something else")
        for step, expected in ((self.frontend.on, True), (self.frontend.off, False)):
            if step and self.is_done(task := await self.change(task, step)) is not expected:
                raise Misled("the box springs back")
            if self.is_done(await self.find(task)) is not self.is_done(task):
                raise Misled("the list shows another state")
        await self.delete(task)
        if [left["id"] for left in await self.list()] != [first["id"]]:
            raise Misled("another task is gone, or none")

    async def create(self, title: str) -> Task:
        response = await self.send("POST", self.path, {"title": title, **self.frontend.new})
        created: Task = self.inside(response.json(), self.frontend.ones)
        self.check(created)
        return created

    async def delete(self, task: Task) -> None:
        response = await self.send("DELETE", f"{self.path.rstrip('/')}/{task['id']}")
        if self.frontend.parses_deletion and not response.content:
            raise Misled("Unexpected end of JSON input")


async def play(frontend: Frontend, needs: Sequence[str]) -> None:
    chosen: dict[str, Any] = {}
    for setting in needs:
        chosen |= SETTINGS[setting]
    with shared(**chosen) as wiring:
        async with client(wiring, **bearer("alice", email="alice@example.com")) as web:
            await Player(frontend, web).play()


@pytest.mark.parametrize("frontend", FRONTENDS, ids=lambda frontend: frontend.does)
async def test_a_frontend_works_with_its_settings(frontend: Frontend) -> None:
    await play(frontend, frontend.needs)


@pytest.mark.parametrize(
    ("frontend", "setting"),
    [(frontend, setting) for frontend in FRONTENDS for setting in frontend.needs],
    ids=lambda value: value if isinstance(value, str) else value.does,
)
async def test_a_frontend_does_not_work_without_one_of_its_settings(frontend: Frontend, setting: str) -> None:
    with pytest.raises(Misled):
        await play(frontend, [other for other in frontend.needs if other != setting])


def test_the_reference_lists_these_frontends() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/frontends.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", page.partition("## Which frontend")[2], re.MULTILINE)[1:]
    assert rows == [(frontend.does, ", ".join(frontend.needs) or "none") for frontend in FRONTENDS]
    assert len(rows) >= 25
    assert {name.strip("`").partition("=")[0].lower() for name in SETTINGS} <= {*Settings.model_fields}
