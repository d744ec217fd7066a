"""Checks, before anything is measured, that all servers implement the same API completely."""

import re
import time
from collections.abc import Mapping
from typing import Any

import httpx2

from benchmarks.data import Owner
from benchmarks.servers import ServerProcess

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
REQUESTS = 6  # of `_operations`
LOG_SECONDS = 0.3  # longer than any of the servers collects lines before it writes them
_BODY = {"title": "Something", "description": "In a few words", "completed": True}


class NotConforming(Exception):
    """A server behaves differently, so it cannot be compared."""


def check(server: ServerProcess, token: str, owner: Owner, foreign: int, *, logged: bool) -> None:
    """Raises NotConforming. The token is that of `owner`; `foreign` is the ID of another user's task."""
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with httpx2.Client(base_url=server.url, headers=headers, trust_env=False) as client:
            time.sleep(LOG_SECONDS)  # for the request that found the server ready
            server.truncate_log()
            _operations(client, owner, server.name)
            _request_log(server, logged)
            _refusals(client, owner, foreign, server.name)
    except httpx2.TransportError as fault:
        raise NotConforming(f"{server.name} does not respond: {fault!r}") from fault


def _request_log(server: ServerProcess, logged: bool) -> None:
    time.sleep(LOG_SECONDS)
    lines, expected = server.log_lines(), REQUESTS if logged else 0
    _require(len(lines) == expected, f"logs {len(lines)} lines for {REQUESTS} requests, not {expected}", server.name)
    for line in lines:
        _require("/api/tasks" in line and re.search(r"\b20[01]\b", line) is not None, f"logs {line}", server.name)


def _operations(client: httpx2.Client, owner: Owner, name: str) -> None:
    path = f"/api/tasks/{owner.tasks[0]}"
    listed = _json(client.get("/api/tasks"), 200, name)
    _require([task["id"] for task in listed] == [*owner.tasks], "lists the wrong tasks", name)
    before = _task(client.get(path), 200, name)
    _require(before == listed[0], "represents a task differently in a list", name)
    changed = _task(client.put(path, json=_BODY), 200, name)
    right = {**changed, **_BODY} == changed and changed["updated_at"] > before["updated_at"]
    _require(right, "does not update the task", name)
    toggled = _task(client.patch(f"{path}/complete"), 200, name)
    _require(toggled["completed"] is False and toggled["status"] == "incomplete", "does not toggle the task", name)
    _require(_task(client.get(path), 200, name) == toggled, "does not store the change", name)
    created = client.post("/api/tasks", json={"title": "New"})
    task = _task(created, 201, name)
    _require(created.headers["location"] == f"/api/tasks/{task['id']}", "sends the wrong Location", name)
    _require(task["user_id"] == owner.user_id and task["description"] is None, "creates the wrong task", name)


def _refusals(client: httpx2.Client, owner: Owner, foreign: int, name: str) -> None:
    mine = f"/api/tasks/{owner.tasks[0]}"
    forged = client.headers["authorization"][:-4] + "AAAA"
    responses = {
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
    for request, (response, expected) in responses.items():
        _require(response.status_code in expected, f"responds {response.status_code} to {request}", name)


def _task(response: httpx2.Response, status: int, name: str) -> dict[str, Any]:
    task = _json(response, status, name)
    right = set(task) == set(FIELDS) and all(isinstance(task[field], kind) for field, kind in FIELDS.items())
    _require(right, f"has the wrong fields: {task}", name)
    _require(str(task["created_at"]).endswith("Z"), f"formats times differently: {task['created_at']}", name)
    return dict(task)


def _json(response: httpx2.Response, status: int, name: str) -> Any:
    _require(response.status_code == status, f"responds {response.status_code} {response.text[:300]}", name)
    return response.json()


def _require(condition: bool, difference: str, name: str) -> None:
    if not condition:
        raise NotConforming(f"{name} {difference}")
