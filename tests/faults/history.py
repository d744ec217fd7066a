"""Whether what users were told can be true: each task is a register, and its history must be linearizable.

Wing and Gong's search, with Lowe's memory of what was tried. A state is what answers show of a task. What ended without
an answer, or with the one error that is allowed, may take effect at any later time, or never.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from typing import Any, NamedTuple

from tests.faults.load import Contract, Operation


class State(NamedTuple):
    """A task that is there. Of a change without an answer the time is not known: `later` than the one that is."""

    title: str
    description: str | None
    completed: bool
    updated_at: datetime
    later: bool = False

    def shows(self, seen: "State") -> bool:
        moved = seen.updated_at > self.updated_at if self.later else seen.updated_at == self.updated_at
        return self[:3] == seen[:3] and moved

    def changed(self, changes: Mapping[str, Any]) -> "State":
        after = self._replace(**changes)
        return self if after == self else after._replace(later=True)


def _state(answer: Mapping[str, Any]) -> State:
    moment = datetime.fromisoformat(answer["updated_at"])
    return State(answer["title"], answer["description"], answer["completed"], moment)


def _born(sent: Mapping[str, Any]) -> State:
    """As a task begins whose creation was not answered, at a time that is not known."""
    return State(sent["title"], sent["description"], False, datetime.min.replace(tzinfo=UTC), later=True)


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on one task. `known`: it was answered, and left the task, or found it, as `seen`."""

    action: str
    sent: Mapping[str, Any]
    began: float
    ended: float
    known: bool
    seen: State | None

    @property
    def effect(self) -> tuple[object, ...]:
        """The same for steps between which nothing can tell."""
        return (self.action, *self.sent.items(), self.began if self.known else None)

    def after(self, state: State | None) -> Iterator[State | None]:
        """The state that follows, if the step can be taken."""
        match self.action:
            case "create" if state is None:
                yield self.seen
            case "look" if self.seen is None or state is None:
                if self.seen is state:
                    yield None
            case "look" if state is not None and self.seen is not None and state.shows(self.seen):
                yield self.seen
            case "delete" if state is not None:
                yield None
            case "change" | "toggle" | "complete" if state is not None:
                changed = state.changed(self._changes(state))
                if not self.known:
                    yield changed
                elif self.seen is not None and changed.shows(self.seen):
                    yield self.seen

    def _changes(self, state: State) -> Mapping[str, Any]:
        return {"change": self.sent, "toggle": {"completed": not state.completed}}.get(self.action, {"completed": True})


def complaints(operations: Sequence[Operation], contract: Contract) -> list[str]:
    """All that cannot be true; empty for a history that holds."""
    return [
        *_wrong_answers(operations, contract),
        *_foreign(operations),
        *_duplicates(operations),
        *_out_of_order(operations),
        *(complaint for user in {operation.user for operation in operations} for complaint in _lost(operations, user)),
    ]


def _wrong_answers(operations: Iterable[Operation], contract: Contract) -> Iterator[str]:
    for operation in operations:
        missing = operation.status == 404 and operation.task is not None
        if not (operation.done or missing or operation.unavailable(contract)):
            yield f"{operation.action} was answered {operation.status}: {operation.answer}"


def _shown(operation: Operation) -> list[dict[str, Any]]:
    """The tasks in an answer."""
    if not operation.done or operation.answer is None:
        return []
    return operation.answer if operation.action == "list" else [operation.answer]


def _name(title: str) -> str:
    return title.split()[0]


def _foreign(operations: Sequence[Operation]) -> Iterator[str]:
    """What its user never made."""
    made = {(operation.user, _name((operation.sent or {})["title"])) for operation in operations if _creates(operation)}
    for operation in operations:
        for task in _shown(operation):
            if task["user_id"] != operation.user or (operation.user, _name(task["title"])) not in made:
                yield f"{operation.user} was shown a foreign task: {task}"


def _creates(operation: Operation) -> bool:
    return operation.action == "create"


def _duplicates(operations: Iterable[Operation]) -> Iterator[str]:
    ids: dict[str, set[tuple[int, str]]] = {}
    for operation in operations:
        for task in _shown(operation):
            ids.setdefault(_name(task["title"]), set()).add((task["id"], task["created_at"]))
    return (f"{name} is there more than once: {found}" for name, found in ids.items() if len(found) > 1)


def _out_of_order(operations: Sequence[Operation]) -> Iterator[str]:
    """Ids rise from one creation to the next, and in every list."""
    created = sorted((operation for operation in operations if _creates(operation) and operation.done), key=_began)
    for later in created:
        for earlier in created:
            if earlier.ended < later.began and earlier.answer["id"] > later.answer["id"]:
                yield f"{earlier.answer['title']} was created before {later.answer['title']} and has a higher id"
    for operation in operations:
        ids = [task["id"] for task in _shown(operation)]
        if ids != sorted(set(ids)):
            yield f"{operation.user} was shown a list that is not in order of creation: {ids}"


def _began(operation: Operation) -> float:
    return operation.began


def _lost(operations: Iterable[Operation], user: str) -> Iterator[str]:
    """The tasks of a user whose histories are not linearizable."""
    of_user = [operation for operation in operations if operation.user == user]
    names = {task["id"]: _name(task["title"]) for operation in of_user for task in _shown(operation)}
    for task, name in names.items():
        steps = sorted(_steps(of_user, task, name), key=lambda step: step.began)
        if not linearizable(_worth_trying(steps)):
            told = "\n".join(f"    {step}" for step in steps)
            yield f"{user} was told what cannot be true of task {task}:\n{told}"


def _steps(operations: Iterable[Operation], task: int, name: str) -> Iterator[Step]:
    gone_from = inf
    for operation in sorted(operations, key=_began):
        ended = operation.ended if operation.done or operation.status == 404 else inf
        known = ended < inf
        step = Step(operation.action, operation.sent or {}, operation.began, ended, known, None)
        if operation.action == "list" and known:
            found = [_state(shown) for shown in operation.answer if shown["id"] == task]
            if found or operation.began < gone_from:  # who is gone stays gone, and need not be looked for again
                yield replace(step, action="look", seen=found[0] if found else None)
        elif _creates(operation) and _name(step.sent["title"]) == name:
            yield replace(step, seen=_state(operation.answer) if known else _born(step.sent))
        elif operation.task == task:
            if operation.status == 404:
                yield replace(step, action="look")
            elif operation.action == "delete" or not known:
                yield step
            else:
                yield replace(
                    step, action="look" if step.action == "get" else step.action, seen=_state(operation.answer)
                )
            if operation.status in (204, 404):
                gone_from = min(gone_from, ended)


def _worth_trying(steps: Sequence[Step]) -> list[Step]:
    """Without the reads that had no answer, and the changes of one text that nobody was ever shown: had they been
    carried out, nobody could tell."""
    texts = {text for step in steps if step.seen for text in step.seen[:2]}
    return [
        step
        for step in steps
        if step.known or (step.action != "get" and texts.issuperset(filter(None, step.sent.values())))
    ]


def linearizable(steps: Sequence[Step]) -> bool:
    """Whether the steps, in order of their beginning, can have been taken one after another."""
    tried: set[tuple[int, State | None]] = set()
    paths: list[tuple[int, State | None]] = [(0, None)]
    wanted = sum(1 << place for place, step in enumerate(steps) if step.known)
    while paths:
        path = paths.pop()
        if path[0] & wanted == wanted:
            return True
        if path not in tried:
            tried.add(path)
            paths += reversed(_next(steps, *path))
    return False


def _next(steps: Sequence[Step], taken: int, state: State | None) -> list[tuple[int, State | None]]:
    """Every step that may come next, and where it leads: none that began after one had ended that is not taken yet."""
    found, alike, until = [], set(), inf
    for place in range((~taken & taken + 1).bit_length() - 1, len(steps)):
        step = steps[place]
        if step.began > until:
            break
        if taken >> place & 1 or step.effect in alike:
            continue
        until = min(until, step.ended)
        if not step.known:
            alike.add(step.effect)  # whichever of them was carried out, it might as well have been the first
        for after in step.after(state):
            if after == state and step.known:
                return [(taken | 1 << place, state)]  # changes nothing, so nothing speaks against taking it now
            found.append((taken | 1 << place, after))
    return found
