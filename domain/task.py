"""The task, and every way in which it changes."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Self, TypedDict

from domain.errors import TaskChanged
from domain.values import Description, TaskId, Title, UserId

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Draft:
    """A task that nobody has stored yet."""

    title: Title
    description: Description | None = None
    completed: bool = False


class Changes(TypedDict, total=False):
    """What an owner may change. A key that is left out stays as it is; None clears the description."""

    title: Title
    description: Description | None
    completed: bool


class Task(NamedTuple):
    """A stored task. Its id, owner and birthday never change; times are aware and in UTC."""

    id: TaskId
    user_id: UserId
    title: Title
    description: Description | None
    completed: bool
    created_at: datetime
    updated_at: datetime

    def seen(self, states: Collection[datetime] | None) -> Self:
        """This very task, if its `updated_at` is among those that the caller has seen. None: any will do.

        Raises TaskChanged.
        """
        if states is not None and self.updated_at not in states:
            raise TaskChanged
        return self

    def edit(self, changes: Changes, at: datetime) -> Self:
        """This very task if nothing changes, else a new one whose `updated_at` is later than before.

        It moves strictly forward even where the clock stands still or goes back, so that two states of one task
        never carry the same `updated_at`.
        """
        edited = self._replace(**changes)
        if edited == self:
            return self
        return edited._replace(updated_at=max(at, self.updated_at + _TICK))

    def complete(self, at: datetime) -> Self:
        """Done. Completing it again changes nothing."""
        return self.edit({"completed": True}, at)

    def toggle(self, at: datetime) -> Self:
        """Done becomes open and open becomes done."""
        return self.edit({"completed": not self.completed}, at)
