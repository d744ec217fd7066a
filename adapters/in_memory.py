"""Both ports without any outside: what fast tests run on, held to the same contract as the real adapters."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import count

from application.ports import KEY_LIFETIME, IdentityProvider, TaskRepository
from domain.errors import KeyReused, NotAuthenticated, TaskNotFound
from domain.selection import ALL, Place, Selection
from domain.task import Draft, Task
from domain.values import IdempotencyKey, TaskId, UserId


class InMemoryTaskRepository(TaskRepository):
    """Keeps immutable tasks, so nobody can change one behind its back. No method ever suspends: each is atomic."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[UserId, TaskId], Task] = {}
        self._keys: dict[tuple[UserId, IdempotencyKey | None], tuple[Draft, Task]] = {}
        self._ids = count(1)

    async def add(self, owner: UserId, draft: Draft, at: datetime, key: IdempotencyKey | None = None) -> Task:
        known = self._keys.get((owner, key))
        if known and at - known[1].created_at < KEY_LIFETIME:
            if known[0] != draft:
                raise KeyReused
            return known[1]
        task = Task(id=TaskId(next(self._ids)), user_id=owner, **asdict(draft), created_at=at, updated_at=at)
        self._tasks[owner, task.id] = task
        if key is not None:
            self._keys[owner, key] = draft, task
        return task

    async def get(self, owner: UserId, task_id: TaskId) -> Task:
        try:
            return self._tasks[owner, task_id]
        except KeyError:
            raise TaskNotFound from None

    async def page(
        self, owner: UserId, selection: Selection = ALL, *, after: Place | None = None, limit: int
    ) -> Sequence[Task]:
        mine = [task for (user_id, _), task in self._tasks.items() if user_id == owner and selection.holds(task)]
        ordered = sorted(mine, key=selection.place, reverse=selection.descending)
        begin = next((place for place, task in enumerate(ordered) if selection.follows(task, after)), len(ordered))
        return ordered[begin : begin + limit]

    async def update(self, owner: UserId, task_id: TaskId, change: Callable[[Task], Task]) -> Task:
        task = change(await self.get(owner, task_id))
        self._tasks[owner, task_id] = task
        return task

    async def remove(self, owner: UserId, task_id: TaskId, seen: Collection[datetime] | None = None) -> None:
        (await self.get(owner, task_id)).seen(seen)
        del self._tasks[owner, task_id]


class InMemoryIdentityProvider(IdentityProvider):
    """Knows the tokens that it was given."""

    def __init__(self, users: Mapping[str, UserId]) -> None:
        self._users = users

    async def identify(self, token: str) -> UserId:
        try:
            return self._users[token]
        except KeyError:
            raise NotAuthenticated from None
