"""Frontends of this product's family: what each sends, and what it reads. `test_frontends.py` plays them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Task = dict[str, Any]
Step = tuple[str, str, Any]
"""Method, path below the task, and body: a dict, WHOLE, or None for no body."""

WHOLE = "the task as it was read, with one member changed"
OWN, USER, TODOS, USER_TODOS = "/api/tasks", "/api/alice/tasks", "/api/todos", "/api/alice/todos"
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "`COMPLETE_TOGGLES`": {"complete_toggles": True},
    "`KEEP_UNKNOWN_MEMBERS`": {"keep_unknown_members": True},
    "`DIALECT=words`": {"dialect": "words"},
    "`DIALECT_LIST=tasks`": {"dialect_list": "tasks"},
    "`DIALECT_DELETE=200`": {"dialect_delete": "200"},
}


@dataclass(frozen=True)
class Frontend:
    """What one sends, and what it reads in the responses."""

    does: str
    path: str
    on: Step
    off: Step | None = None
    """None: it cannot reopen a task."""
    needs: Sequence[str] = ()
    edit: Step = ("PUT", "", {"title": "Buy tea"})
    new: Mapping[str, Any] = field(default_factory=dict)
    query: str = ""
    done: str = "completed"
    """The member that says whether a task is completed."""
    lists: str | None = None
    """The member of a list that holds the tasks."""
    ones: str | None = None
    """The same for a single task."""
    reads: Mapping[str, Any] = field(default_factory=dict)
    """Members without which its rows crash."""
    parses_deletion: bool = False
    newest_first: bool | None = None
    """None: any order will do."""
    asks_who_i_am: bool = False


def sets(method: str, path: str = "", name: str = "completed", **also: Any) -> Any:
    return {"on": (method, path, {**also, name: True}), "off": (method, path, {**also, name: False})}


def says(method: str, path: str, on: str, off: str) -> Any:
    return {"on": (method, path, {"status": on}), "off": (method, path, {"status": off})}


def toggles(method: str, path: str = "/complete", body: Any = None) -> Any:
    return {"on": (method, path, body), "off": (method, path, body)}


DETAILS = {"priority": "high", "due_date": "2026-12-24T00:00:00", "tags": ["home"], "category": "errands"}
W, T, K, L, D = (
    "`DIALECT=words`",
    "`COMPLETE_TOGGLES`",
    "`KEEP_UNKNOWN_MEMBERS`",
    "`DIALECT_LIST=tasks`",
    "`DIALECT_DELETE=200`",
)

FRONTENDS = [
    Frontend("`PATCH /{id}/complete` with `{completed}`", OWN, **sets("PATCH", "/complete")),
    Frontend("the same below `/api/{user_id}`", USER, **sets("PATCH", "/complete")),
    Frontend("`PATCH /{id}/complete` without a body", OWN, **toggles("PATCH")),
    Frontend("`PATCH /{id}/complete` without a body, only to complete", USER, on=("PATCH", "/complete", None)),
    Frontend("`PATCH /{id}` with `{completed}`", USER, **sets("PATCH")),
    Frontend("`PUT /{id}` with `{title, completed}`", OWN, **sets("PUT", title="Buy tea")),
    Frontend("`PUT /{id}` with the whole task, `completed` changed", OWN, ("PUT", "", WHOLE), ("PUT", "", WHOLE)),
    Frontend("the same below `/api/{user_id}`, with `PATCH`", USER, ("PATCH", "", WHOLE), ("PATCH", "", WHOLE)),
    Frontend(
        "`PUT /{id}` with the whole task, `status` changed", USER, ("PUT", "", WHOLE), ("PUT", "", WHOLE), done="status"
    ),
    Frontend(
        '`PATCH /{id}` with `{status: "complete"}`', USER, **says("PATCH", "", "complete", "incomplete"), done="status"
    ),
    Frontend(
        "`?sort=createdAt&order=desc`, an empty filter",
        OWN,
        **sets("PATCH"),
        query="?status=&sort=createdAt&order=desc",
        newest_first=True,
    ),
    Frontend(
        "`?sort_by=due_date&sort_order=asc&search=`",
        USER,
        **sets("PATCH"),
        query="?sort_by=due_date&sort_order=asc&search=",
    ),
    Frontend("`?limit=20&offset=0`", OWN, **sets("PATCH"), query="?limit=20&offset=0"),
    Frontend("`?skip=0&limit=100`", USER, **sets("PATCH"), query="?skip=0&limit=100"),
    Frontend(
        "`?status=all&_t=...`, sends `priority`, `due_date` and `tags`, can do without",
        OWN,
        **sets("PATCH"),
        new=DETAILS,
        query="?status=all&_t=17",
    ),
    Frontend(
        "`PATCH /{id}/complete` without a body, toggles, below `/api/{user_id}`", USER, **toggles("PATCH"), needs=(T,)
    ),
    Frontend("the same with an empty object", USER, **toggles("PATCH", body={}), needs=(T,)),
    Frontend(
        "the same, and shows `priority` and `tags`", USER, **toggles("PATCH"), new=DETAILS, reads=DETAILS, needs=(T, K)
    ),
    Frontend(
        "`PUT /{id}` with the whole task; rows need `priority`, `tags` and `due_date`",
        OWN,
        ("PUT", "", WHOLE),
        ("PUT", "", WHOLE),
        new=DETAILS,
        reads=DETAILS,
        needs=(K,),
    ),
    Frontend(
        "`PATCH /{id}` with `{completed}`; rows need `priority`",
        USER,
        **sets("PATCH"),
        new={"priority": "low"},
        reads={"priority": "low"},
        needs=(K,),
    ),
    Frontend("reads the body of a deletion", OWN, **sets("PATCH"), parses_deletion=True, needs=(D,)),
    Frontend(
        "the same below `/api/{user_id}`, and toggles", USER, **toggles("PATCH"), parses_deletion=True, needs=(T, D)
    ),
    Frontend("looks for `tasks` in a list", OWN, **sets("PATCH"), lists="tasks", needs=(L,)),
    Frontend(
        "the same below `/api/{user_id}`, with `?limit=50&offset=0`",
        USER,
        **sets("PUT"),
        lists="tasks",
        query="?limit=50&offset=0",
        needs=(L,),
    ),
    Frontend("looks for `task` in every response too", OWN, **sets("PATCH"), lists="tasks", ones="task", needs=(L,)),
    Frontend(
        "reads and sends `is_completed`", OWN, **sets("PUT", name="is_completed"), done="is_completed", needs=(W,)
    ),
    Frontend(
        "creates with `is_complete`, below `/api/{user_id}`",
        USER,
        **sets("PATCH", name="is_complete"),
        done="is_complete",
        new={"is_complete": False},
        needs=(W,),
    ),
    Frontend(
        "`PUT /{id}` with the whole task, `is_completed` changed",
        USER,
        ("PUT", "", WHOLE),
        ("PUT", "", WHOLE),
        done="is_completed",
        needs=(W,),
    ),
    Frontend("`PATCH /{id}/toggle`", OWN, **toggles("PATCH", "/toggle"), needs=(W,)),
    Frontend(
        "`POST /{id}/toggle` below `/api/{user_id}`",
        USER,
        **toggles("POST", "/toggle"),
        done="is_completed",
        needs=(W,),
    ),
    Frontend(
        '`PATCH /{id}/status` with `{status: "completed"}`',
        USER,
        **says("PATCH", "/status", "completed", "pending"),
        needs=(W,),
    ),
    Frontend("`PATCH /{id}/status` without a body", OWN, **toggles("PATCH", "/status"), needs=(W,)),
    Frontend(
        '`PATCH /{id}` with `{status: "Completed"}`, creates with `Pending`',
        USER,
        **says("PATCH", "", "Completed", "Pending"),
        new={"status": "Pending"},
        needs=(W,),
    ),
    Frontend(
        '`PUT /{id}` with `{status: "done"}`, `todo` and `in_progress`',
        OWN,
        **says("PUT", "", "done", "in_progress"),
        new={"status": "todo"},
        needs=(W,),
    ),
    Frontend("`POST /{id}/complete`", OWN, **toggles("POST"), needs=(W,)),
    Frontend(
        "`PATCH /{id}/complete?completed=...`",
        USER,
        ("PATCH", "/complete?completed=true", None),
        ("PATCH", "/complete?completed=false", None),
        needs=(W,),
    ),
    Frontend("`/api/todos`", TODOS, **sets("PATCH"), needs=(W,)),
    Frontend("`/api/{user_id}/todos`, toggles", USER_TODOS, **toggles("PATCH"), needs=(W,)),
    Frontend(
        "paths that end in a slash",
        f"{OWN}/",
        ("PUT", "/", {"completed": True}),
        ("PUT", "/", {"completed": False}),
        needs=(W,),
    ),
    Frontend("expects the newest task first", OWN, **sets("PATCH"), newest_first=True, needs=(W,)),
    Frontend(
        "asks `GET /api/users/me` whose tasks to list",
        "/api/{me}/tasks",
        **toggles("PATCH"),
        asks_who_i_am=True,
        needs=(W,),
    ),
    Frontend(
        "`/api/todos`, `is_completed`, reads the body of a deletion",
        TODOS,
        **sets("PUT", name="is_completed"),
        done="is_completed",
        parses_deletion=True,
        needs=(W, D),
    ),
    Frontend(
        "`/api/{user_id}/todos`, toggles, looks for `tasks`",
        USER_TODOS,
        **toggles("PATCH", "/toggle"),
        lists="tasks",
        needs=(W, L),
    ),
    Frontend(
        "`is_completed`, `priority`, `tags`, newest first",
        USER,
        **toggles("PATCH", "/toggle"),
        done="is_completed",
        new=DETAILS,
        reads=DETAILS,
        newest_first=True,
        needs=(W, K),
    ),
    Frontend(
        "all of it: words, `tasks`, `priority`, the body of a deletion",
        USER,
        **toggles("PATCH", "/status"),
        lists="tasks",
        new=DETAILS,
        reads=DETAILS,
        parses_deletion=True,
        needs=(W, L, D, K),
    ),
]
