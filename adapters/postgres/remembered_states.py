"""The states in which tasks were last seen, so that a change can usually be written without a read before it.

A remembered state is only ever the state that a compare-and-set expects. It may be stale at any time, because other
processes write too; then nothing is written, and the task is read. It never answers a read, and never decides that a
task is missing, in another version than the caller expects, or unchanged.

To remove it, delete this file and its uses in `repository.py`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson

from domain.task import Task
from domain.values import TaskId, UserId

OWNER_OVERHEAD = 150  # bytes that an owner takes beside their ID and states
MAX_BYTES_PER_OWNER = 8 * 1024  # in each generation, for some 40 short tasks; they are copied at each change
MAX_TASKS_PER_READ = 40  # more would not fit


class RememberedStates:
    """In at most `max_bytes`: two generations of half of them each. A generation that is full becomes the older one,
    and the one that was older is dropped. Each owner has a share of it, for the tasks that were seen last.

    The states of an owner are one string of bytes, the last one first. As objects they would lie between those that a
    request needs for a moment, and scatter them over the memory: all requests would take a tenth more CPU.
    """

    def __init__(self, max_bytes: int, task: Callable[[Sequence[Any]], Task]) -> None:
        """`task`: constructs a task from its fields."""
        self._generation_size = max_bytes // 2
        self._task = task
        self._newer: dict[UserId, bytes] = {}
        self._older: dict[UserId, bytes] = {}
        self._size = 0  # of the newer generation
        self._expecting_read: set[UserId] = set()

    def get(self, owner: UserId, task_id: TaskId) -> Task | None:
        states = self._of(owner)
        start, end = _line(states, task_id)
        if start == end:
            return None
        *fields, created_at, updated_at, extras = orjson.loads(states[start:end])
        return self._task([*fields, datetime.fromisoformat(created_at), datetime.fromisoformat(updated_at), extras])

    def note_created(self, owner: UserId) -> None:
        """The owner has a new task. It is remembered when it is read: most are not changed before."""
        if owner not in self._newer:
            self._keep(owner, self._of(owner))
        self._expect_read(owner)

    def note_changed(self, owner: UserId, task: Task) -> None:
        """As this process has just stored it."""
        if self._generation_size:
            self._keep(owner, _encoded(task) + _without(self._of(owner), task.id))
            self._expect_read(owner)

    def note_read(self, owner: UserId, tasks: Sequence[Task]) -> None:
        """As they are stored now. What is read first after a write of the owner is remembered: tasks are read far more
        often than they are changed, and to remember all reads would cost more CPU than it saves."""
        if owner in self._expecting_read:
            self._expecting_read.discard(owner)
            self._keep(owner, b"".join(map(_encoded, tasks[:MAX_TASKS_PER_READ])) + self._of(owner))

    def forget(self, owner: UserId, task_id: TaskId) -> None:
        states = self._of(owner)
        if (others := _without(states, task_id)) != states:
            self._keep(owner, others)

    def _of(self, owner: UserId) -> bytes:
        return self._newer[owner] if owner in self._newer else self._older.get(owner, b"")

    def _expect_read(self, owner: UserId) -> None:
        if owner in self._newer:
            self._expecting_read.add(owner)

    def _keep(self, owner: UserId, states: bytes) -> None:
        if len(states) > MAX_BYTES_PER_OWNER:
            states = states[: states.rfind(b"\n", 0, MAX_BYTES_PER_OWNER + 1)]
        size, before = OWNER_OVERHEAD + owner.__sizeof__() + len(states), self._newer.get(owner)
        if size > self._generation_size:
            return
        self._size += size if before is None else len(states) - len(before)
        if self._size > self._generation_size:
            self._older, self._newer, self._size = self._newer, {}, size
            self._expecting_read.clear()
        self._newer[owner] = states


def _encoded(task: Task) -> bytes:
    """A line that begins with the ID; nothing if it is larger than a share. JSON has no line breaks within."""
    line = b"\n" + orjson.dumps(tuple(task))
    return line if len(line) <= MAX_BYTES_PER_OWNER else b""


def _line(states: bytes, task_id: TaskId, begin: int = 0) -> tuple[int, int]:
    """Where the first line of the task is; an empty place at the end if there is none."""
    start = states.find(b"\n[%d," % task_id, begin)
    if start < 0:
        return len(states), len(states)
    end = states.find(b"\n", start + 1)
    return start, end if end > 0 else len(states)


def _without(states: bytes, task_id: TaskId) -> bytes:
    """Without any line of the task: one that was read may stand before one that was written."""
    start, end = _line(states, task_id)
    while start < end:
        states = states[:start] + states[end:]
        start, end = _line(states, task_id, start)
    return states
