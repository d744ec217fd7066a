"""Checks recorded operations: each task is a register, and its history must be linearizable.

The algorithm is Wing and Gong's search with Lowe's memoization. A state is what responses show of a task. An operation
without a response, or with the one error that is allowed, may take effect at any later time, or never.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from typing import Any, NamedTuple

from tests.faults.load import Contract, Operation


class State(NamedTuple):
    """The state of an existing task. `later`: a change had no response, so `updated_at` is only a lower bound."""

    title: str
    description: str | None
    completed: bool
    updated_at: datetime
    later: bool = False

    def permits(self, observed: "State") -> bool:
        same_version = observed.updated_at > self.updated_at if self.later else observed.updated_at == self.updated_at
        return self[:3] == observed[:3] and same_version

    def changed(self, changes: Mapping[str, Any]) -> "State":
        after = self._replace(**changes)
        return self if after == self else after._replace(later=True)


def _state(task: Mapping[str, Any]) -> State:
    updated_at = datetime.fromisoformat(task["updated_at"])
    return State(task["title"], task["description"], task["completed"], updated_at)


def _unacknowledged(sent: Mapping[str, Any]) -> State:
    """The initial state of a task whose creation had no response."""
    return State(sent["title"], sent["description"], False, datetime.min.replace(tzinfo=UTC), later=True)


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on one task. `acknowledged`: it had a response, which shows the task as `observed` afterwards."""

    action: str
    sent: Mapping[str, Any]
    began: float
    ended: float
    acknowledged: bool
    observed: State | None

    @property
    def effect(self) -> tuple[object, ...]:
        """Equal for steps that are indistinguishable."""
        return (self.action, *self.sent.items(), self.began if self.acknowledged else None)

    def after(self, state: State | None) -> Iterator[State | None]:
        """The next state, if the step is possible in this state."""
        match self.action:
            case "create" if state is None:
                yield self.observed
            case "read" if self.observed is None or state is None:
                if self.observed is state:
                    yield None
            case "read" if state is not None and self.observed is not None and state.permits(self.observed):
                yield self.observed
            case "delete" if state is not None:
                yield None
            case "change" | "toggle" | "complete" if state is not None:
                changed = state.changed(self._changes(state))
                if not self.acknowledged:
                    yield changed
                elif self.observed is not None and changed.permits(self.observed):
                    yield self.observed

    def _changes(self, state: State) -> Mapping[str, Any]:
        return {"change": self.sent, "toggle": {"completed": not state.completed}}.get(self.action, {"completed": True})


def violations(operations: Sequence[Operation], contract: Contract) -> list[str]:
    """Everything that is impossible; empty for a valid history."""
    return [
        *_unexpected_responses(operations, contract),
        *_foreign(operations),
        *_duplicates(operations),
        *_out_of_order(operations),
        *(violation for user in {operation.user for operation in operations} for violation in _lost(operations, user)),
    ]


def _unexpected_responses(operations: Iterable[Operation], contract: Contract) -> Iterator[str]:
    for operation in operations:
        missing = operation.status == 404 and operation.task is not None
        if not (operation.done or missing or operation.unavailable(contract)):
            yield f"{operation.action} got {operation.status}: {operation.body}"


def _shown(operation: Operation) -> list[dict[str, Any]]:
    """The tasks in the response of an operation."""
    if not operation.done or operation.body is None:
        return []
    return operation.body if operation.action == "list" else [operation.body]


def _name(title: str) -> str:
    return title.split()[0]


def _foreign(operations: Sequence[Operation]) -> Iterator[str]:
    """Tasks that were shown to a user who never created them."""
    created = {
        (operation.user, _name((operation.sent or {})["title"])) for operation in operations if _creates(operation)
    }
    for operation in operations:
        for task in _shown(operation):
            if task["user_id"] != operation.user or (operation.user, _name(task["title"])) not in created:
                yield f"{operation.user} was shown a foreign task: {task}"


def _creates(operation: Operation) -> bool:
    return operation.action == "create"


def _duplicates(operations: Iterable[Operation]) -> Iterator[str]:
    ids: dict[str, set[tuple[int, str]]] = {}
    for operation in operations:
        for task in _shown(operation):
            ids.setdefault(_name(task["title"]), set()).add((task["id"], task["created_at"]))
    return (f"{name} exists more than once: {found}" for name, found in ids.items() if len(found) > 1)


def _out_of_order(operations: Sequence[Operation]) -> Iterator[str]:
    """IDs increase with each creation, and in every list."""
    created = sorted((operation for operation in operations if _creates(operation) and operation.done), key=_began)
    for later in created:
        for earlier in created:
            if earlier.ended < later.began and earlier.body["id"] > later.body["id"]:
                yield f"{earlier.body['title']} was created before {later.body['title']} and has a higher id"
    for operation in operations:
        ids = [task["id"] for task in _shown(operation)]
        if ids != sorted(set(ids)):
            yield f"{operation.user} was shown a list that is not in order of creation: {ids}"


def _began(operation: Operation) -> float:
    return operation.began


def _lost(operations: Iterable[Operation], user: str) -> Iterator[str]:
    """The tasks of a user whose history is not linearizable."""
    of_user = [operation for operation in operations if operation.user == user]
    names = {task["id"]: _name(task["title"]) for operation in of_user for task in _shown(operation)}
    for task, name in names.items():
        steps = sorted(_steps(of_user, task, name), key=lambda step: step.began)
        if not linearizable(_observable(steps)):
            history = "\n".join(f"    {step}" for step in steps)
            yield f"the history of task {task} of {user} is not linearizable:\n{history}"


def _steps(operations: Iterable[Operation], task: int, name: str) -> Iterator[Step]:
    gone_from = inf
    for operation in sorted(operations, key=_began):
        ended = operation.ended if operation.done or operation.status == 404 else inf
        acknowledged = ended < inf
        step = Step(operation.action, operation.sent or {}, operation.began, ended, acknowledged, None)
        if operation.action == "list" and acknowledged:
            found = [_state(shown) for shown in operation.body if shown["id"] == task]
            if found or operation.began < gone_from:  # later lists without the task add nothing once it is gone
                yield replace(step, action="read", observed=found[0] if found else None)
        elif _creates(operation) and _name(step.sent["title"]) == name:
            yield replace(step, observed=_state(operation.body) if acknowledged else _unacknowledged(step.sent))
        elif operation.task == task:
            if operation.status == 404:
                yield replace(step, action="read")
            elif operation.action == "delete" or not acknowledged:
                yield step
            else:
                yield replace(
                    step, action="read" if step.action == "get" else step.action, observed=_state(operation.body)
                )
            if operation.status in (204, 404):
                gone_from = min(gone_from, ended)


def _observable(steps: Sequence[Step]) -> list[Step]:
    """Drops reads without a response, and unacknowledged changes to texts that no response shows: whether they took
    effect cannot be observed."""
    texts = {text for step in steps if step.observed for text in step.observed[:2]}
    return [
        step
        for step in steps
        if step.acknowledged or (step.action != "get" and texts.issuperset(filter(None, step.sent.values())))
    ]


def linearizable(steps: Sequence[Step]) -> bool:
    """Whether the steps, sorted by their beginning, are possible in some sequential order."""
    tried: set[tuple[int, State | None]] = set()
    paths: list[tuple[int, State | None]] = [(0, None)]
    wanted = sum(1 << index for index, step in enumerate(steps) if step.acknowledged)
    while paths:
        path = paths.pop()
        if path[0] & wanted == wanted:
            return True
        if path not in tried:
            tried.add(path)
            paths += reversed(_next(steps, *path))
    return False


def _next(steps: Sequence[Step], taken: int, state: State | None) -> list[tuple[int, State | None]]:
    """The possible next steps, as paths: a step must not begin after the end of one that is not taken yet."""
    found, equivalent, earliest_end = [], set(), inf
    for index in range((~taken & taken + 1).bit_length() - 1, len(steps)):
        step = steps[index]
        if step.began > earliest_end:
            break
        if taken >> index & 1 or step.effect in equivalent:
            continue
        earliest_end = min(earliest_end, step.ended)
        if not step.acknowledged:
            equivalent.add(step.effect)  # it makes no difference which of them took effect
        for after in step.after(state):
            if after == state and step.acknowledged:
                return [(taken | 1 << index, state)]  # has no effect on the state, so it can be taken now
            found.append((taken | 1 << index, after))
    return found
