"""The states in which tasks were last seen, so that a change can usually be written without a read before it.

A remembered state is only ever the state that a compare-and-set expects. It may be stale at any time, because other
processes write too; then nothing is written, and the task is read. It never answers a read, and never decides that a
task is missing, in another version than the caller expects, or unchanged.

To remove it, delete this file and what the repository says of it.
"""

from collections.abc import Sequence

from domain.task import Task
from domain.values import TaskId, UserId

OF_OWNER = 450  # bytes that an owner takes without tasks
OF_TASK = 300  # bytes that a task takes without its texts: the tuple, its times and ID, its dictionary entry
SHARES = 16  # of a generation. An owner has one at most, so that nobody pushes out what is known of the others


class RememberedStates:
    """In at most `most` bytes: two generations of half of them each.

    A generation that is full becomes the older one, and the one that was older is dropped. An owner who has used up
    their share of a generation begins anew.
    """

    def __init__(self, most: int) -> None:
        self._generation_size = most // 2
        self._share = self._generation_size // SHARES
        self._newer: dict[UserId, _States] = {}
        self._older: dict[UserId, _States] = {}
        self._size = 0  # of the newer generation

    def get(self, owner: UserId, task_id: TaskId) -> Task | None:
        for generation in (self._newer, self._older):
            states = generation.get(owner)
            if states and task_id in states.tasks:
                return states.tasks[task_id]
        return None

    def wrote(self, owner: UserId, task: Task) -> None:
        """As this process has just stored it."""
        if self._share:
            states = self._newer.get(owner)
            if states is None:
                states = self._newer[owner] = _States()
                self._size += states.size
            states.wants_list = True
            self._remember(states, [task])

    def read(self, owner: UserId, tasks: Sequence[Task]) -> None:
        """As they are stored now. Remembered only if the owner has written lately, and of lists the first one after a
        write: lists are read far more often than tasks are changed, and to keep them all would cost more CPU than it
        saves."""
        states = self._newer.get(owner)
        if states is None or not (tasks and (len(tasks) == 1 or states.wants_list)):
            return
        if len(tasks) > 1:
            states.wants_list = False
        self._remember(states, tasks)

    def forget(self, owner: UserId, task_id: TaskId) -> None:
        for generation in (self._newer, self._older):
            if owner in generation:
                generation[owner].tasks.pop(task_id, None)

    def _remember(self, states: "_States", tasks: Sequence[Task]) -> None:
        """None of them if all together exceed a share."""
        size = _size(tasks)
        if size > self._share:
            return
        self._size -= states.size
        if states.size + size > self._share:
            states.clear()
        states.add(tasks, size)
        self._size += states.size
        if self._size > self._generation_size:
            self._older, self._newer, self._size = self._newer, {}, 0


class _States:
    """Of one owner, and the bytes that they take, or more."""

    __slots__ = ("size", "tasks", "wants_list")

    def __init__(self) -> None:
        self.wants_list = True
        self.clear()

    def clear(self) -> None:
        self.size = OF_OWNER
        self.tasks: dict[TaskId, Task] = {}

    def add(self, tasks: Sequence[Task], size: int) -> None:
        known = self.tasks
        if len(tasks) == 1:
            replaced = known.get(tasks[0].id)
            self.size -= _size([replaced]) if replaced else 0
        known.update([(task[0], task) for task in tasks])
        self.size = OF_OWNER + size if len(known) == len(tasks) else self.size + size


def _size(tasks: Sequence[Task]) -> int:
    """By position and without a call for each task: many lists pass here."""
    texts = sum([task[2].__sizeof__() + task[3].__sizeof__() + task[7].__sizeof__() for task in tasks])
    return OF_TASK * len(tasks) + texts
