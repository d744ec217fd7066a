"""What is stored about one user, for operators: counted, handed out, erased."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import NamedTuple, Protocol

from domain.values import IdempotencyKey, TaskId, UserId

CHUNK = 1000  # tasks, and idempotency keys, that are erased at once


class Count(NamedTuple):
    """Of what is stored, or was erased."""

    tasks: int
    keys: int


class UsedKey(NamedTuple):
    """An idempotency key, and the task that it created, which may be gone."""

    key: IdempotencyKey
    task_id: TaskId
    created_at: datetime


class UserRecords(Protocol):
    """Everybody's records. Every method raises StorageUnavailable where they cannot be reached."""

    async def count(self, user: UserId) -> Count: ...

    async def keys(self, user: UserId) -> list[UsedKey]:
        """All idempotency keys of the user: those of about a day, as expired ones are removed. In order of the key."""
        ...

    async def erase_some(self, user: UserId, limit: int) -> Count:
        """Erases up to so many tasks, and as many idempotency keys. Nothing was left if it has erased nothing."""
        ...

    async def absent_from(self, table: str) -> tuple[int, list[str]]:
        """How many users have records, and the ids of those that are not in the table, in order.

        `table`: a table in the same database whose column `id` holds user ids, or that table, a dot and another column.
        Counts users of the usual identity provider only: it cannot know about others'. Raises NoSuchTable.
        """
        ...


class NoSuchTable(Exception):
    """There is no such table or column; the message says which."""


async def erase(records: UserRecords, user: UserId) -> AsyncIterator[Count]:
    """Erases everything that is stored about the user, and yields what each step has erased. May be repeated after a
    failure. Concurrent calls of other users are not held up; what this user stores meanwhile is erased too."""
    while any(erased := await records.erase_some(user, CHUNK)):
        yield erased
