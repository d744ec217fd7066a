"""Before anything is measured: every server does the same, and does it whole."""

from collections.abc import Mapping
from typing import Any

import httpx2

from benchmarks.data import Owner
from benchmarks.servers import Server

FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "id": int,
    "user_id": str,
    "title": str,
    "description": (str, type(None)),
    "completed": bool,
    "status": str,
    "created_at": str,
    "updated_at": str,
}
_BODY = {"title": "Something", "description": "In a few words", "completed": True}


class Different(Exception):
    """A server that does something else cannot be compared."""


def check(server: Server, token: str, owner: Owner, foreign: int) -> None:
    """Raises Different. `owner` is whose token it is, `foreign` somebody else's task."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=server.url, headers=headers, trust_env=False) as client:
        _operations(client, owner, server.name)
        _refusals(client, owner, foreign, server.name)


def _operations(client: httpx2.Client, owner: Owner, name: str) -> None:
    path = f"/api/tasks/{owner.tasks[0]}"
    listed = _json(client.get("/api/tasks"), 200, name)
    _require([task["id"] for task in listed] == [*owner.tasks], "lists other tasks", name)
    before = _task(client.get(path), 200, name)
    _require(before == listed[0], "shows the task in another way", name)
    changed = _task(client.put(path, json=_BODY), 200, name)
    right = {**changed, **_BODY} == changed and changed["updated_at"] > before["updated_at"]
    _require(right, "does not change it", name)
    toggled = _task(client.patch(f"{path}/complete"), 200, name)
    _require(toggled["completed"] is False and toggled["status"] == "incomplete", "does not toggle it", name)
    _require(_task(client.get(path), 200, name) == toggled, "does not store it", name)
    created = client.post("/api/tasks", json={"title": "New"})
    task = _task(created, 201, name)
    _require(created.headers["location"] == f"/api/tasks/{task['id']}", "says not where it is", name)
    _require(task["user_id"] == owner.user_id and task["description"] is None, "creates something else", name)


def _refusals(client: httpx2.Client, owner: Owner, foreign: int, name: str) -> None:
    mine = f"/api/tasks/{owner.tasks[0]}"
    forged = client.headers["authorization"][:-4] + "AAAA"
    answers = {
        "another's task": (client.get(f"/api/tasks/{foreign}"), {404}),
        "another's task to change": (client.put(f"/api/tasks/{foreign}", json=_BODY), {404}),
        "another's task to complete": (client.patch(f"/api/tasks/{foreign}/complete"), {404}),
        "a forged token": (client.get(mine, headers={"Authorization": forged}), {401}),
        "no title": (client.post("/api/tasks", json={}), {400, 422}),
        "a blank title": (client.post("/api/tasks", json={"title": " "}), {400, 422}),
        "a long title": (client.put(mine, json={"title": "x" * 201}), {400, 422}),
        "a long description": (client.put(mine, json={"description": "x" * 1001}), {400, 422}),
        "a wrong id": (client.get("/api/tasks/0"), {400, 404, 422}),
    }
    for what, (answer, expected) in answers.items():
        _require(answer.status_code in expected, f"answers {answer.status_code} to {what}", name)


def _task(answer: httpx2.Response, status: int, name: str) -> dict[str, Any]:
    task = _json(answer, status, name)
    right = set(task) == set(FIELDS) and all(isinstance(task[field], kind) for field, kind in FIELDS.items())
    _require(right, f"has other fields: {task}", name)
    _require(str(task["created_at"]).endswith("Z"), f"writes times in another way: {task['created_at']}", name)
    return dict(task)


def _json(answer: httpx2.Response, status: int, name: str) -> Any:
    _require(answer.status_code == status, f"answers {answer.status_code} {answer.text[:300]}", name)
    return answer.json()


def _require(true: bool, otherwise: str, name: str) -> None:
    if not true:
        raise Different(f"{name} {otherwise}")
