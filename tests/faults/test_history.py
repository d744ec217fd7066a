"""The checker of histories itself: it must report each kind of violation, and accept every possible history."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults.history import violations
from tests.faults.load import Action, Operation

NOON = datetime(2026, 1, 4, 12, tzinfo=UTC)


def task(version: int = 0, *, title: str = "a-1 new", completed: bool = False, **other: Any) -> dict[str, Any]:
    """Task 1 of user a, changed `version` times."""
    times = {"created_at": NOON.isoformat(), "updated_at": (NOON + timedelta(seconds=version)).isoformat()}
    return {"id": 1, "user_id": "a", "title": title, "description": None, "completed": completed, **times, **other}


def operation(action: Action, began: float, ended: float, status: int, body: Any = None, **other: Any) -> Operation:
    single = {"task": 1} if action not in ("create", "list") else {}
    return Operation("a", action, began, ended, status, body, retry_after="1", **{**single, **other})


def unavailable(action: Action, began: float, ended: float, **other: Any) -> Operation:
    return operation(action, began, ended, 503, {"code": "storage_unavailable"}, **other)


def toggled(began: float, ended: float, version: int, *, completed: bool) -> Operation:
    return operation("toggle", began, ended, 200, task(version, completed=completed))


MILK = {"title": "a-1 new", "description": None}
CREATED = operation("create", 0, 1, 201, task(), sent=MILK)
NOT_CREATED = unavailable("create", 0, 1, sent=MILK)
RETITLED = {"sent": {"title": "a-1 other"}}

LINEARIZABLE = {
    "one after another": [
        CREATED,
        toggled(2, 3, 1, completed=True),
        operation("change", 4, 5, 200, task(2, title="a-1 other", completed=True), **RETITLED),
        operation("get", 6, 7, 200, task(2, title="a-1 other", completed=True)),
        operation("delete", 8, 9, 204),
        operation("list", 10, 11, 200, []),
        operation("get", 12, 13, 404),
    ],
    "two toggles at once": [CREATED, toggled(2, 5, 2, completed=False), toggled(3, 4, 1, completed=True)],
    "a read concurrent with a change returns it": [
        CREATED,
        toggled(2, 6, 1, completed=True),
        operation("get", 3, 4, 200, task(1, completed=True)),
    ],
    "a read concurrent with a change does not return it": [
        CREATED,
        toggled(2, 6, 1, completed=True),
        operation("get", 3, 4, 200, task()),
    ],
    "a list concurrent with the creation": [CREATED, operation("list", 0.5, 2, 200, [])],
    "a creation without a response that happened": [
        NOT_CREATED,
        operation("list", 2, 3, 200, []),
        operation("list", 4, 5, 200, [task()]),
    ],
    "a creation without a response that did not happen": [NOT_CREATED, operation("list", 2, 3, 200, [])],
    "a toggle without a response that happened late": [
        CREATED,
        unavailable("toggle", 2, 3),
        operation("get", 4, 5, 200, task()),
        operation("get", 6, 7, 200, task(1, completed=True)),
    ],
    "a toggle without a response that did not happen": [
        CREATED,
        unavailable("toggle", 2, 3),
        toggled(4, 5, 1, completed=True),
    ],
    "two toggles without a response that both happened": [
        CREATED,
        unavailable("toggle", 2, 3),
        unavailable("toggle", 2, 3),
        toggled(4, 5, 3, completed=True),
    ],
    "a deletion without a response that happened": [
        CREATED,
        unavailable("delete", 2, 3),
        operation("delete", 4, 5, 404),
    ],
    "a deletion without a response that did not happen": [
        CREATED,
        unavailable("delete", 2, 3),
        operation("delete", 4, 5, 204),
    ],
    "a change to what it is already": [
        CREATED,
        operation("change", 2, 3, 200, task(), sent={"completed": False}),
        operation("get", 4, 5, 200, task()),
    ],
}

IMPOSSIBLE = {
    "a lost toggle": [CREATED, toggled(2, 5, 1, completed=True), toggled(3, 4, 1, completed=True)],
    "a stale read": [CREATED, toggled(2, 3, 1, completed=True), operation("get", 4, 5, 200, task())],
    "a stale list": [CREATED, toggled(2, 3, 1, completed=True), operation("list", 4, 5, 200, [task()])],
    "a change that is visible and then is not": [
        CREATED,
        unavailable("toggle", 2, 3),
        operation("get", 4, 5, 200, task(1, completed=True)),
        operation("get", 6, 7, 200, task()),
    ],
    "a change visible before it was requested": [
        CREATED,
        operation("get", 2, 3, 200, task(1, title="a-1 other")),
        unavailable("change", 4, 5, **RETITLED),
    ],
    "a toggle carried out twice": [CREATED, toggled(2, 3, 2, completed=False)],
    "a change that was never requested": [CREATED, operation("get", 2, 3, 200, task(1, completed=True))],
    "a partial change": [
        CREATED,
        operation("change", 2, 3, 200, task(1), **RETITLED),
    ],
    "a version that stays the same": [CREATED, toggled(2, 3, 0, completed=True)],
    "a version that decreases": [
        CREATED,
        toggled(2, 3, 2, completed=True),
        toggled(4, 5, 1, completed=False),
    ],
    "a task created twice": [NOT_CREATED, operation("list", 2, 3, 200, [task(), task(id=2)])],
    "a task created twice, and listed one at a time": [
        CREATED,
        operation("list", 2, 3, 200, [task(id=2)]),
    ],
    "a foreign task": [operation("list", 2, 3, 200, [task(user_id="b")])],
    "a task that was never created": [operation("list", 2, 3, 200, [task()])],
    "another user's task under one's own name": [operation("list", 2, 3, 200, [task(title="b-1 new")])],
    "a task that is back from deletion": [
        CREATED,
        operation("delete", 2, 3, 204),
        operation("list", 4, 5, 200, [task()]),
    ],
    "a task that was gone and is there again": [
        CREATED,
        unavailable("delete", 2, 3),
        operation("list", 4, 5, 200, []),
        operation("get", 6, 7, 200, task()),
    ],
    "a deletion acknowledged twice": [CREATED, operation("delete", 2, 5, 204), operation("delete", 3, 4, 204)],
    "an acknowledged task that is lost": [CREATED, operation("list", 2, 3, 200, [])],
    "an acknowledged task that is not found": [CREATED, operation("get", 2, 3, 404)],
    "an acknowledged change that is lost": [
        CREATED,
        operation("change", 2, 3, 200, task(1, title="a-1 other"), **RETITLED),
        operation("list", 4, 5, 200, [task()]),
    ],
    "a list in another order": [
        CREATED,
        operation("create", 2, 3, 201, task(id=2, title="a-2 new"), sent={"title": "a-2 new", "description": None}),
        operation("list", 4, 5, 200, [task(id=2, title="a-2 new"), task()]),
    ],
    "a later task with a lower id": [
        operation("create", 0, 1, 201, task(id=2, title="a-2 new"), sent={"title": "a-2 new", "description": None}),
        operation("create", 2, 3, 201, task(), sent=MILK),
    ],
    "another error than the one allowed": [CREATED, operation("get", 2, 3, 500, {"code": "internal_error"})],
    "the right error in the other contract's status": [operation("list", 2, 3, 500, {"code": "storage_unavailable"})],
    "unavailable without Retry-After": [
        Operation("a", "list", 2, 3, 503, {"code": "storage_unavailable"}),
    ],
    "no response at all": [Operation("a", "list", 2, 3, None)],
}


@pytest.mark.parametrize("history", LINEARIZABLE.values(), ids=LINEARIZABLE)
def test_a_linearizable_history_is_accepted(history: list[Operation]) -> None:
    assert violations(history, contract=1) == []


@pytest.mark.parametrize("history", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_history_is_reported(history: list[Operation]) -> None:
    assert violations(history, contract=1)


def test_many_operations_without_a_response_are_checked_in_reasonable_time() -> None:
    """Each may have taken effect at any later time or never; trying every combination would never end."""
    without_response = [unavailable("toggle", 2 + n, 3 + n) for n in range(60)]
    reads = [operation("get", 70 + n, 71 + n, 200, task()) for n in range(60)]
    assert violations([CREATED, *without_response, *reads], contract=1) == []
    assert violations(
        [CREATED, *without_response, *reads, operation("get", 140, 141, 200, task(title="a-1 x"))], contract=1
    )
