"""The task, and every way in which it changes."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, Self, TypedDict

from domain.errors import TaskChanged
from domain.extras import Extras, merged
from domain.values import Description, TaskId, Title, UserId

_TICK = timedelta(microseconds=1)

ExpectedVersions = Container[datetime] | None
"""Precondition of a change: the task's version (its `updated_at`) is one of these. None: any version."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A task that is not stored yet."""

    title: Title
    description: Description | None = None
    completed: bool = False
    extras: Extras | None = None


class Changes(TypedDict, total=False):
    """New values of some fields. Absent fields keep their value; None clears the description.

    `toggled` stands in place of `completed`, and means the opposite of what is stored. `extras` changes the additional
    members that it names; None removes one.
    """

    title: Title
    description: Description | None
    completed: bool
    toggled: Literal[True]
    extras: Mapping[str, Any]


class Task(NamedTuple):
    """A stored task. `id`, `user_id` and `created_at` never change; times are timezone-aware and in UTC.

    `updated_at` is the version: no two states of a task share it.
    """

    id: TaskId
    user_id: UserId
    title: Title
    description: Description | None
    completed: bool
    created_at: datetime
    updated_at: datetime
    extras: Extras | None = None

    def matching(self, expected: ExpectedVersions) -> Self:
        """This task, if its version is an expected one. Raises TaskChanged."""
        if expected is not None and self.updated_at not in expected:
            raise TaskChanged
        return self

    def edit(self, changes: Changes, at: datetime) -> Self:
        """This very task if nothing changes, else a new one with a later `updated_at`.

        `updated_at` increases strictly even where the clock stands still or goes back, so that it can serve as version.
        Raises InvalidValue where extras grow beyond their limits.
        """
        values: dict[str, Any] = {**changes}
        if values.pop("toggled", False):
            values["completed"] = not self.completed
        if "extras" in values:
            values["extras"] = merged(self.extras, values["extras"])
        edited = self._replace(**values)
        if edited == self:
            return self
        return edited._replace(updated_at=max(at, self.updated_at + _TICK))

    def complete(self, at: datetime) -> Self:
        """Idempotent: completing a completed task changes nothing."""
        return self.edit({"completed": True}, at)

    def toggle(self, at: datetime) -> Self:
        return self.edit({"toggled": True}, at)
