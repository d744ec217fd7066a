"""Fair shares: calls that wait are taken in turn by owner, and one owner's calls can only be so many."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from domain.errors import StorageUnavailable, TooManyRequests

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Round robin by owner: an owner with one item waits for at most one of each other's.

    `longest`: items in all; `share`: of one owner.
    """

    def __init__(self, longest: int, share: int) -> None:
        self._longest = longest
        self._share = share
        self._length = 0
        self._by_owner: dict[object, deque[T]] = {}

    def __len__(self) -> int:
        return self._length

    def add(self, owner: object, item: T) -> None:
        """Raises TooManyRequests where the owner's share is used up, and StorageUnavailable where the queue is full."""
        items = self._by_owner.get(owner)
        if items is not None and len(items) >= self._share:
            raise TooManyRequests
        if self._length >= self._longest:
            raise StorageUnavailable
        if items is None:
            items = self._by_owner[owner] = deque()
        items.append(item)
        self._length += 1

    def first(self) -> T:
        return next(iter(self._by_owner.values()))[0]

    def take(self) -> T:
        """The first item of the owner whose turn it is, who then comes last."""
        owner = next(iter(self._by_owner))
        items = self._by_owner.pop(owner)
        if len(items) > 1:
            self._by_owner[owner] = items
        self._length -= 1
        return items.popleft()


class Turns:
    """One call of an owner at a time, and at most `longest` that wait for theirs."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._waiting: dict[object, int] = {}
        self._locks: dict[object, asyncio.Lock] = {}

    @asynccontextmanager
    async def turn(self, owner: object, deadline: float) -> AsyncIterator[None]:
        """Raises TooManyRequests where too many wait already, and StorageUnavailable at the deadline."""
        waiting = self._waiting.get(owner, 0)
        if waiting > self._longest:
            raise TooManyRequests
        self._waiting[owner] = waiting + 1
        lock = self._locks.setdefault(owner, asyncio.Lock())
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    await lock.acquire()
            except TimeoutError:
                raise StorageUnavailable from None
            try:
                yield
            finally:
                lock.release()
        finally:
            self._waiting[owner] -= 1
            if not self._waiting[owner]:
                del self._waiting[owner], self._locks[owner]
