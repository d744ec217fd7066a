"""The use cases: one owner's list of things to do."""

from collections.abc import Sequence
from dataclasses import dataclass

from application.ports import Clock, TaskRepository
from domain.task import Changes, Draft, Task
from domain.values import TaskId, UserId


@dataclass(frozen=True, slots=True)
class TodoList:
    """A capability: whoever holds it may do everything with this owner's tasks and nothing with anybody else's.

    Methods that take a task id raise TaskNotFound where the owner has no such task.
    """

    owner: UserId
    tasks: TaskRepository
    now: Clock

    async def create(self, draft: Draft) -> Task:
        return await self.tasks.add(self.owner, draft, self.now())

    async def list(self, *, completed: bool | None = None) -> Sequence[Task]:
        return await self.tasks.list(self.owner, completed=completed)

    async def get(self, task_id: TaskId) -> Task:
        return await self.tasks.get(self.owner, task_id)

    async def edit(self, task_id: TaskId, changes: Changes) -> Task:
        at = self.now()
        return await self.tasks.update(self.owner, task_id, lambda task: task.edit(changes, at))

    async def complete(self, task_id: TaskId) -> Task:
        at = self.now()
        return await self.tasks.update(self.owner, task_id, lambda task: task.complete(at))

    async def toggle(self, task_id: TaskId) -> Task:
        at = self.now()
        return await self.tasks.update(self.owner, task_id, lambda task: task.toggle(at))

    async def delete(self, task_id: TaskId) -> None:
        await self.tasks.remove(self.owner, task_id)
