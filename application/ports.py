"""What the application needs from outside. Adapters inherit these explicitly, so mypy sees a missing method."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from domain.task import Draft, Task
from domain.values import TaskId, UserId

Clock = Callable[[], datetime]
"""The time now: aware, in UTC, in whole microseconds."""


class TaskRepository(Protocol):
    """The tasks of everybody, reachable only one owner at a time: no method can be called without one.

    When a call returns, what it did is stored for good. Another owner's task is TaskNotFound, like one that never
    was. Every method raises StorageUnavailable where the tasks cannot be reached.
    """

    async def add(self, owner: UserId, draft: Draft, at: datetime) -> Task:
        """The stored task, born `at`, under an id that no task had before, not even a deleted one."""
        ...

    async def get(self, owner: UserId, task_id: TaskId) -> Task:
        """Raises TaskNotFound."""
        ...

    async def list(self, owner: UserId, *, completed: bool | None = None) -> Sequence[Task]:
        """All tasks of the owner, or those that are (not) completed, in order of creation."""
        ...

    async def update(self, owner: UserId, task_id: TaskId, change: Callable[[Task], Task]) -> Task:
        """The task as `change` left it; nobody else's change comes between what it saw and what is stored.

        `change` must be pure: it is called again where somebody else was faster. Raises TaskNotFound.
        """
        ...

    async def remove(self, owner: UserId, task_id: TaskId) -> None:
        """Raises TaskNotFound: of several who remove one task, one succeeds."""
        ...


class IdentityProvider(Protocol):
    """Knows whom a token speaks for."""

    async def identify(self, token: str) -> UserId:
        """Raises NotAuthenticated for anything but a valid token of a user, and IdentityUnavailable where that
        cannot be found out now."""
        ...
