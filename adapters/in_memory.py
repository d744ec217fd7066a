"""Both ports without any outside: what fast tests run on, held to the same contract as the real adapters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import count

from application.ports import IdentityProvider, TaskRepository
from domain.errors import NotAuthenticated, TaskNotFound
from domain.task import Draft, Task
from domain.values import TaskId, UserId


class InMemoryTaskRepository(TaskRepository):
    """Keeps immutable tasks, so nobody can change one behind its back. No method ever suspends: each is atomic."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[UserId, TaskId], Task] = {}
        self._ids = count(1)

    async def add(self, owner: UserId, draft: Draft, at: datetime) -> Task:
        task = Task(id=TaskId(next(self._ids)), user_id=owner, **asdict(draft), created_at=at, updated_at=at)
        self._tasks[owner, task.id] = task
        return task

    async def get(self, owner: UserId, task_id: TaskId) -> Task:
        try:
            return self._tasks[owner, task_id]
        except KeyError:
            raise TaskNotFound from None

    async def list(self, owner: UserId, *, completed: bool | None = None) -> Sequence[Task]:
        mine = (task for (user_id, _), task in self._tasks.items() if user_id == owner)
        return [task for task in mine if completed is None or task.completed == completed]

    async def update(self, owner: UserId, task_id: TaskId, change: Callable[[Task], Task]) -> Task:
        task = change(await self.get(owner, task_id))
        self._tasks[owner, task_id] = task
        return task

    async def remove(self, owner: UserId, task_id: TaskId) -> None:
        await self.get(owner, task_id)
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
