"""Which tasks of an owner are asked for, and in which order."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from domain.task import Task
from domain.values import SearchText, TaskId


class Sort(Enum):
    CREATED = "created"
    UPDATED = "updated"
    TITLE = "title"


class Place(NamedTuple):
    """Where a task stands in an order, whether or not it is still there. `value` is what is sorted by; in the order of
    creation the id alone says it."""

    value: datetime | str | None
    id: TaskId


@dataclass(frozen=True, slots=True)
class Selection:
    """Some of the tasks, or all, in an order in which no two share a place."""

    completed: bool | None = None
    search: SearchText | None = None
    sort: Sort = Sort.CREATED
    descending: bool = False

    def holds(self, task: Task) -> bool:
        return self.completed in (None, task.completed) and (self.search is None or _found(self.search, task))

    def place(self, task: Task) -> Place:
        """Where the task stands in this order. Titles count by code point, which every database can do alike."""
        match self.sort:
            case Sort.CREATED:
                return Place(None, task.id)
            case Sort.UPDATED:
                return Place(task.updated_at, task.id)
            case Sort.TITLE:
                return Place(task.title, task.id)

    def follows(self, task: Task, place: Place | None) -> bool:
        """Whether the task comes after the place, in this order. None is the place before all."""
        if place is None:
            return True
        return self.place(task) < place if self.descending else self.place(task) > place


ALL = Selection()
"""In order of creation."""


def _found(search: SearchText, task: Task) -> bool:
    return any(re.search(search.pattern, text) for text in (task.title, task.description or ""))
