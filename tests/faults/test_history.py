"""The checker itself: it must see each kind of wrong, and believe whatever may be true."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults.history import complaints
from tests.faults.load import Action, Operation

NOON = datetime(2026, 1, 4, 12, tzinfo=UTC)


def shown(version: int = 0, *, title: str = "a-1 new", completed: bool = False, **other: Any) -> dict[str, Any]:
    """Task 1 of user a, changed `version` times."""
    times = {"created_at": NOON.isoformat(), "updated_at": (NOON + timedelta(seconds=version)).isoformat()}
    return {"id": 1, "user_id": "a", "title": title, "description": None, "completed": completed, **times, **other}


def asked(action: Action, began: float, ended: float, status: int, answer: Any = None, **other: Any) -> Operation:
    single = {"task": 1} if action not in ("create", "list") else {}
    return Operation("a", action, began, ended, status, answer, retry_after="1", **{**single, **other})


def unavailable(action: Action, began: float, ended: float, **other: Any) -> Operation:
    return asked(action, began, ended, 503, {"code": "storage_unavailable"}, **other)


def toggled(began: float, ended: float, version: int, *, completed: bool) -> Operation:
    return asked("toggle", began, ended, 200, shown(version, completed=completed))


MILK = {"title": "a-1 new", "description": None}
CREATED = asked("create", 0, 1, 201, shown(), sent=MILK)
NOT_CREATED = unavailable("create", 0, 1, sent=MILK)
RETITLED = {"sent": {"title": "a-1 other"}}

TRUE = {
    "one after another": [
        CREATED,
        toggled(2, 3, 1, completed=True),
        asked("change", 4, 5, 200, shown(2, title="a-1 other", completed=True), **RETITLED),
        asked("get", 6, 7, 200, shown(2, title="a-1 other", completed=True)),
        asked("delete", 8, 9, 204),
        asked("list", 10, 11, 200, []),
        asked("get", 12, 13, 404),
    ],
    "two toggles at once": [CREATED, toggled(2, 5, 2, completed=False), toggled(3, 4, 1, completed=True)],
    "a read at the same time as a change sees it": [
        CREATED,
        toggled(2, 6, 1, completed=True),
        asked("get", 3, 4, 200, shown(1, completed=True)),
    ],
    "a read at the same time as a change does not see it": [
        CREATED,
        toggled(2, 6, 1, completed=True),
        asked("get", 3, 4, 200, shown()),
    ],
    "a list at the same time as the creation": [CREATED, asked("list", 0.5, 2, 200, [])],
    "a creation without an answer that happened": [
        NOT_CREATED,
        asked("list", 2, 3, 200, []),
        asked("list", 4, 5, 200, [shown()]),
    ],
    "a creation without an answer that did not happen": [NOT_CREATED, asked("list", 2, 3, 200, [])],
    "a toggle without an answer that happened late": [
        CREATED,
        unavailable("toggle", 2, 3),
        asked("get", 4, 5, 200, shown()),
        asked("get", 6, 7, 200, shown(1, completed=True)),
    ],
    "a toggle without an answer that did not happen": [
        CREATED,
        unavailable("toggle", 2, 3),
        toggled(4, 5, 1, completed=True),
    ],
    "two toggles without an answer, of which both happened": [
        CREATED,
        unavailable("toggle", 2, 3),
        unavailable("toggle", 2, 3),
        toggled(4, 5, 3, completed=True),
    ],
    "a deletion without an answer that happened": [CREATED, unavailable("delete", 2, 3), asked("delete", 4, 5, 404)],
    "a deletion without an answer that did not happen": [
        CREATED,
        unavailable("delete", 2, 3),
        asked("delete", 4, 5, 204),
    ],
    "a change to what it is already": [
        CREATED,
        asked("change", 2, 3, 200, shown(), sent={"completed": False}),
        asked("get", 4, 5, 200, shown()),
    ],
}

WRONG = {
    "a lost toggle": [CREATED, toggled(2, 5, 1, completed=True), toggled(3, 4, 1, completed=True)],
    "a stale read": [CREATED, toggled(2, 3, 1, completed=True), asked("get", 4, 5, 200, shown())],
    "a stale list": [CREATED, toggled(2, 3, 1, completed=True), asked("list", 4, 5, 200, [shown()])],
    "a change that is seen and then is not": [
        CREATED,
        unavailable("toggle", 2, 3),
        asked("get", 4, 5, 200, shown(1, completed=True)),
        asked("get", 6, 7, 200, shown()),
    ],
    "a change seen before it was asked for": [
        CREATED,
        asked("get", 2, 3, 200, shown(1, title="a-1 other")),
        unavailable("change", 4, 5, **RETITLED),
    ],
    "a toggle carried out twice": [CREATED, toggled(2, 3, 2, completed=False)],
    "a change that nobody asked for": [CREATED, asked("get", 2, 3, 200, shown(1, completed=True))],
    "a half of somebody's change": [
        CREATED,
        asked("change", 2, 3, 200, shown(1), **RETITLED),
    ],
    "a time that stands still": [CREATED, toggled(2, 3, 0, completed=True)],
    "a time that goes back": [
        CREATED,
        toggled(2, 3, 2, completed=True),
        toggled(4, 5, 1, completed=False),
    ],
    "a task created twice": [NOT_CREATED, asked("list", 2, 3, 200, [shown(), shown(id=2)])],
    "a task created twice, and seen one at a time": [
        CREATED,
        asked("list", 2, 3, 200, [shown(id=2)]),
    ],
    "a foreign task": [asked("list", 2, 3, 200, [shown(user_id="b")])],
    "a task of nobody's making": [asked("list", 2, 3, 200, [shown()])],
    "another user's task under one's own name": [asked("list", 2, 3, 200, [shown(title="b-1 new")])],
    "a task that is back from deletion": [
        CREATED,
        asked("delete", 2, 3, 204),
        asked("list", 4, 5, 200, [shown()]),
    ],
    "a task that was gone and is there again": [
        CREATED,
        unavailable("delete", 2, 3),
        asked("list", 4, 5, 200, []),
        asked("get", 6, 7, 200, shown()),
    ],
    "a deletion that two were told of": [CREATED, asked("delete", 2, 5, 204), asked("delete", 3, 4, 204)],
    "an acknowledged task that is lost": [CREATED, asked("list", 2, 3, 200, [])],
    "an acknowledged task that is not found": [CREATED, asked("get", 2, 3, 404)],
    "an acknowledged change that is lost": [
        CREATED,
        asked("change", 2, 3, 200, shown(1, title="a-1 other"), **RETITLED),
        asked("list", 4, 5, 200, [shown()]),
    ],
    "a list in another order": [
        CREATED,
        asked("create", 2, 3, 201, shown(id=2, title="a-2 new"), sent={"title": "a-2 new", "description": None}),
        asked("list", 4, 5, 200, [shown(id=2, title="a-2 new"), shown()]),
    ],
    "a later task with a lower id": [
        asked("create", 0, 1, 201, shown(id=2, title="a-2 new"), sent={"title": "a-2 new", "description": None}),
        asked("create", 2, 3, 201, shown(), sent=MILK),
    ],
    "another error than the one allowed": [CREATED, asked("get", 2, 3, 500, {"code": "internal_error"})],
    "the right error in the other contract's status": [asked("list", 2, 3, 500, {"code": "storage_unavailable"})],
    "unavailable, and not for how long": [
        Operation("a", "list", 2, 3, 503, {"code": "storage_unavailable"}),
    ],
    "no answer at all": [Operation("a", "list", 2, 3, None)],
}


@pytest.mark.parametrize("history", TRUE.values(), ids=TRUE)
def test_a_history_that_may_be_true_is_believed(history: list[Operation]) -> None:
    assert complaints(history, contract=1) == []


@pytest.mark.parametrize("history", WRONG.values(), ids=WRONG)
def test_a_history_that_cannot_be_true_is_not_believed(history: list[Operation]) -> None:
    assert complaints(history, contract=1)


def test_many_who_were_not_answered_are_judged_in_time() -> None:
    """Each might have happened at any time or never: trying all of it would take for ever."""
    unanswered = [unavailable("toggle", 2 + n, 3 + n) for n in range(60)]
    reads = [asked("get", 70 + n, 71 + n, 200, shown()) for n in range(60)]
    assert complaints([CREATED, *unanswered, *reads], contract=1) == []
    assert complaints([CREATED, *unanswered, *reads, asked("get", 140, 141, 200, shown(title="a-1 x"))], contract=1)
