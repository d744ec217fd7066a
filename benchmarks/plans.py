"""The plans of the statements that our server actually sends, as logged by auto_explain."""

import re

import httpx2

from benchmarks.data import FOLDER, Database, Owner
from benchmarks.servers import OURS, DatabaseAddress, serving
from benchmarks.tokens import Issuer

_EXPLAIN = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_parameter_max_length": "0",
}
_LOG = FOLDER.with_suffix(".log")
_PLAN = re.compile(r"duration: [\d.]+ ms  plan:\n((?:\t.*\n)+)")


def used(database: Database, owner: Owner, issuer: Issuer) -> dict[str, str]:
    """Plans by operation. Each is requested often enough for a prepared statement to settle on a generic plan."""
    database.execute(*(f"ALTER DATABASE {database.name} SET {name} = '{value}'" for name, value in _EXPLAIN.items()))
    client = httpx2.Client(headers={"Authorization": f"Bearer {issuer.token(owner.user_id)}"}, trust_env=False)
    try:
        with client, serving(OURS, DatabaseAddress(database.name, database.socket), issuer) as server:
            tasks = f"{server.url}/api/tasks"
            requests = {
                "get": ("GET", f"{tasks}/{owner.tasks[0]}", None),
                "list": ("GET", tasks, None),
                "create": ("POST", tasks, {"title": "New"}),
            }
            return {name: _last_plan(client, *request) for name, request in requests.items()}
    finally:
        database.execute(*(f"ALTER DATABASE {database.name} RESET {name}" for name in _EXPLAIN))


def _last_plan(client: httpx2.Client, method: str, url: str, body: dict[str, str] | None) -> str:
    before = _LOG.stat().st_size
    for _ in range(20):
        client.request(method, url, json=body).raise_for_status()
    with _LOG.open() as log:
        log.seek(before)
        return str(_PLAN.findall(log.read())[-1])


def text(plans: dict[str, str]) -> str:
    """The plans as Markdown, without their statements."""
    return "\n\n".join(
        f"The plan of `{name}` among 10 M:\n\n```\n{_below_statement(plan)}\n```" for name, plan in plans.items()
    )


def _below_statement(plan: str) -> str:
    lines = [line.removeprefix("\t") for line in plan.splitlines()]
    first = next(number for number, line in enumerate(lines) if "(cost=" in line)
    return "\n".join(lines[first:])
