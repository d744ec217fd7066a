"""In-memory adapters of the ports that requests use: what fast tests run on, held to the same contract suite as the
real adapters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import count

from application.ports import IdentityProvider, TaskRepository
from domain.errors import KeyReused, ListChanged, NotAuthenticated, QuotaExceeded, TaskNotFound
from domain.listing import ALL, Position, Selection
from domain.task import Draft, ExpectedVersions, Task
from domain.values import IdempotencyKey, TaskId, UserId


class InMemoryTaskRepository(TaskRepository):
    """Keeps immutable tasks, so nobody can change one behind its back. No method suspends, so each is atomic."""

    def __init__(self, max_tasks: int | None = None) -> None:
        self._max_tasks = max_tasks
        self._tasks: dict[tuple[UserId, TaskId], Task] = {}
        self._creations: dict[tuple[UserId, IdempotencyKey | None], tuple[Draft, Task]] = {}
        self._ids = count(1)

    async def add(self, owner: UserId, draft: Draft, at: datetime, key: IdempotencyKey | None = None) -> Task:
        earlier = self._creations.get((owner, key))
        if earlier and at - earlier[1].created_at < IdempotencyKey.LIFETIME:
            if earlier[0] != draft:
                raise KeyReused
            return earlier[1]
        if self._max_tasks is not None and sum(user_id == owner for user_id, _ in self._tasks) >= self._max_tasks:
            raise QuotaExceeded
        task = Task(id=TaskId(next(self._ids)), user_id=owner, **asdict(draft), created_at=at, updated_at=at)
        self._tasks[owner, task.id] = task
        if key is not None:
            self._creations[owner, key] = draft, task
        return task

    async def get(self, owner: UserId, task_id: TaskId) -> Task:
        try:
            return self._tasks[owner, task_id]
        except KeyError:
            raise TaskNotFound from None

    async def page(
        self, owner: UserId, selection: Selection = ALL, *, after: Position | None = None, limit: int
    ) -> Sequence[Task]:
        included = [task for (user_id, _), task in self._tasks.items() if user_id == owner and selection.includes(task)]
        ordered = sorted(included, key=selection.position, reverse=selection.descending)
        return [task for task in ordered if selection.is_after(after, task)][:limit]

    async def ids(
        self, owner: UserId, selection: Selection = ALL, *, after: Position | None = None, limit: int
    ) -> tuple[Sequence[TaskId], Position | None]:
        page = await self.page(owner, selection, after=after, limit=limit)
        return [task.id for task in page], selection.position(page[-1]) if page else None

    async def by_ids(self, owner: UserId, ids: Sequence[TaskId]) -> Sequence[Task]:
        return [self._tasks[owner, id_] for id_ in ids if (owner, id_) in self._tasks]

    async def update(self, owner: UserId, task_id: TaskId, change: Callable[[Task], Task]) -> Task:
        task = change(await self.get(owner, task_id))
        self._tasks[owner, task_id] = task
        return task

    async def remove(self, owner: UserId, task_id: TaskId, expected: ExpectedVersions = None) -> None:
        (await self.get(owner, task_id)).matching(expected)
        del self._tasks[owner, task_id]

    async def remove_oldest(self, owner: UserId, *, up_to: TaskId, limit: int) -> int:
        oldest = [task for task in await self.page(owner, limit=limit) if task.id <= up_to]
        for task in oldest:
            del self._tasks[owner, task.id]
        return len(oldest)

    async def remove_all(self, owner: UserId, expected: Sequence[Task]) -> None:
        if [*expected] != await self.page(owner, limit=len(expected) + 1):
            raise ListChanged
        await self.remove_oldest(owner, up_to=expected[-1].id, limit=len(expected))


class InMemoryIdentityProvider(IdentityProvider):
    """Knows exactly the tokens that it was constructed with."""

    def __init__(self, users: Mapping[str, UserId]) -> None:
        self._users = users

    async def identify(self, token: str) -> UserId:
        try:
            return self._users[token]
        except KeyError:
            raise NotAuthenticated from None
