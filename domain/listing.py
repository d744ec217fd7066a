"""Filters and sort orders of a list, and positions in it (keyset pagination)."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from domain.search import SearchText
from domain.task import Task
from domain.values import TaskId


class Sort(Enum):
    CREATED = "created"
    UPDATED = "updated"
    TITLE = "title"


class Position(NamedTuple):
    """Where a task stands in a sort order, whether or not it still exists. `value` is the sort key; None when sorted by
    creation, where the id alone decides."""

    value: datetime | str | None
    id: TaskId


@dataclass(frozen=True, slots=True)
class Selection:
    """A filtered, totally ordered view of an owner's tasks: no two tasks share a position."""

    completed: bool | None = None
    search: SearchText | None = None
    sort: Sort = Sort.CREATED
    descending: bool = False

    def includes(self, task: Task) -> bool:
        return self.completed in (None, task.completed) and (self.search is None or self.search.found_in(task))

    def position(self, task: Task) -> Position:
        """The task's position in this order. Titles compare by code point, the one order every database can produce."""
        match self.sort:
            case Sort.CREATED:
                return Position(None, task.id)
            case Sort.UPDATED:
                return Position(task.updated_at, task.id)
            case Sort.TITLE:
                return Position(task.title, task.id)

    def is_after(self, position: Position | None, task: Task) -> bool:
        """Whether the task comes after the position in this order. None is the position before all tasks."""
        if position is None:
            return True
        return self.position(task) < position if self.descending else self.position(task) > position


ALL = Selection()
"""Every task, in order of creation."""
