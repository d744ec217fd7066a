"""What the application needs from outside. Adapters inherit these explicitly, so mypy reports a missing method."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from domain.listing import ALL, Position, Selection
from domain.task import Draft, ExpectedVersions, Task
from domain.values import IdempotencyKey, TaskId, UserId

Clock = Callable[[], datetime]
"""The current time: timezone-aware, in UTC, to the microsecond."""


class TaskRepository(Protocol):
    """Everybody's tasks, reachable only one owner at a time: no method can be called without one.

    When a call returns, its effect is durable. Another owner's task is TaskNotFound, like one that never existed.
    Every method raises StorageUnavailable where the tasks cannot be reached, and TooManyRequests where too many calls
    of the owner are waiting.
    """

    async def add(self, owner: UserId, draft: Draft, at: datetime, key: IdempotencyKey | None = None) -> Task:
        """The stored task, created `at`, under an id that no task had before, not even a deleted one.

        If the owner has used the key for the same draft within its lifetime: the task of that first call, as it was
        created, and nothing is stored. Raises KeyReused if they used it for another draft, and QuotaExceeded where
        there is a quota and the owner has that many tasks.
        """
        ...

    async def get(self, owner: UserId, task_id: TaskId) -> Task:
        """Raises TaskNotFound."""
        ...

    async def page(
        self, owner: UserId, selection: Selection = ALL, *, after: Position | None = None, limit: int
    ) -> Sequence[Task]:
        """The first `limit` tasks of the owner that the selection includes, in its order; with `after`, the first ones
        after that position."""
        ...

    async def ids(
        self, owner: UserId, selection: Selection = ALL, *, after: Position | None = None, limit: int
    ) -> tuple[Sequence[TaskId], Position | None]:
        """The ids of the tasks that `page` would return, and the position of the last one; None if there are none."""
        ...

    async def by_ids(self, owner: UserId, ids: Sequence[TaskId]) -> Sequence[Task]:
        """Those of the owner's tasks that have one of these ids, in the order of the ids."""
        ...

    async def update(self, owner: UserId, task_id: TaskId, change: Callable[[Task], Task]) -> Task:
        """The task as `change` returned it. No other change comes between the state it was given and the one stored.

        `change` must be pure: it is called again when another writer was faster. Raises TaskNotFound, and what `change`
        raises.
        """
        ...

    async def remove(self, owner: UserId, task_id: TaskId, expected: ExpectedVersions = None) -> None:
        """Of several concurrent removals of one task, exactly one succeeds. Raises TaskNotFound, and TaskChanged if the
        task is in none of the expected versions."""
        ...

    async def remove_oldest(self, owner: UserId, *, up_to: TaskId, limit: int) -> int:
        """Removes at most `limit` of the owner's tasks, the oldest ones, up to that id. Returns how many this call has
        removed: 0 if there are none."""
        ...

    async def remove_all(self, owner: UserId, expected: Sequence[Task]) -> None:
        """Removes all tasks of the owner if they are exactly these, of which there is at least one. Otherwise raises
        ListChanged, and none is removed."""
        ...


class IdentityProvider(Protocol):
    """Knows which user a token authenticates."""

    async def identify(self, token: str) -> UserId:
        """Raises NotAuthenticated for anything but a valid token of a user, and IdentityUnavailable where validity
        cannot be determined at the moment."""
        ...
