"""What the application needs from outside. Adapters inherit these explicitly, so mypy sees a missing method."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from domain.selection import ALL, Place, Selection
from domain.task import Draft, Task
from domain.values import IdempotencyKey, TaskId, UserId

KEY_LIFETIME = timedelta(hours=24)
"""How long an idempotency key is remembered."""

Clock = Callable[[], datetime]
"""The time now: aware, in UTC, in whole microseconds."""


class TaskRepository(Protocol):
    """The tasks of everybody, reachable only one owner at a time: no method can be called without one.

    When a call returns, what it did is stored for good. Another owner's task is TaskNotFound, like one that never
    was. Every method raises StorageUnavailable where the tasks cannot be reached.
    """

    async def add(self, owner: UserId, draft: Draft, at: datetime, key: IdempotencyKey | None = None) -> Task:
        """The stored task, born `at`, under an id that no task had before, not even a deleted one.

        Where the owner has used the key for the same draft in the last 24 hours: the task of that time, as it was
        born, and nothing is stored. Raises KeyReused where they used it for another draft.
        """
        ...

    async def get(self, owner: UserId, task_id: TaskId) -> Task:
        """Raises TaskNotFound."""
        ...

    async def page(
        self, owner: UserId, selection: Selection = ALL, *, after: Place | None = None, limit: int
    ) -> Sequence[Task]:
        """The first `limit` tasks of the owner that the selection holds, in its order; with `after`: of those that come
        after that place."""
        ...

    async def update(self, owner: UserId, task_id: TaskId, change: Callable[[Task], Task]) -> Task:
        """The task as `change` left it; nobody else's change comes between what it saw and what is stored.

        `change` must be pure: it is called again where somebody else was faster. Raises TaskNotFound.
        """
        ...

    async def remove(self, owner: UserId, task_id: TaskId, seen: Collection[datetime] | None = None) -> None:
        """Of several who remove one task, one succeeds. Raises TaskNotFound, and TaskChanged where the task's
        `updated_at` is none of those seen."""
        ...


class IdentityProvider(Protocol):
    """Knows whom a token speaks for."""

    async def identify(self, token: str) -> UserId:
        """Raises NotAuthenticated for anything but a valid token of a user, and IdentityUnavailable where that
        cannot be found out now."""
        ...
