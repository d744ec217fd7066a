"""The use cases: one owner's list of things to do."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from application.ports import Clock, TaskRepository
from domain.selection import ALL, Place, Selection
from domain.task import Changes, Draft, Task
from domain.values import IdempotencyKey, TaskId, UserId

PAGE = 200  # tasks of a list that are in memory at once

Seen = Collection[datetime] | None


@dataclass(frozen=True, slots=True)
class TodoList:
    """A capability: whoever holds it may do everything with this owner's tasks and nothing with anybody else's.

    Methods that take a task id raise TaskNotFound where the owner has no such task, and TaskChanged where it is in none
    of the states that were `seen`, by their `updated_at`; None: any will do.
    """

    owner: UserId
    tasks: TaskRepository
    now: Clock

    async def create(self, draft: Draft, key: IdempotencyKey | None = None) -> Task:
        """With a key it may be repeated: see TaskRepository.add."""
        return await self.tasks.add(self.owner, draft, self.now(), key)

    async def list(self, selection: Selection = ALL, *, after: Place | None = None) -> AsyncIterator[Sequence[Task]]:
        """All that the selection holds (after a place), in pages; the last may be empty. What is changed between two
        pages may be seen as it was or as it is."""
        while True:
            page = await self.tasks.page(self.owner, selection, after=after, limit=PAGE)
            yield page
            if len(page) < PAGE:
                return
            after = selection.place(page[-1])

    async def page(
        self, selection: Selection, *, after: Place | None, limit: int
    ) -> tuple[Sequence[Task], Place | None]:
        """`limit` of them at most, and the place after which there are more; None: these were the last."""
        found = await self.tasks.page(self.owner, selection, after=after, limit=limit + 1)
        return found[:limit], selection.place(found[limit - 1]) if len(found) > limit else None

    async def get(self, task_id: TaskId) -> Task:
        return await self.tasks.get(self.owner, task_id)

    async def edit(self, task_id: TaskId, changes: Changes, seen: Seen = None) -> Task:
        at = self.now()
        return await self.tasks.update(self.owner, task_id, lambda task: task.seen(seen).edit(changes, at))

    async def complete(self, task_id: TaskId, seen: Seen = None) -> Task:
        at = self.now()
        return await self.tasks.update(self.owner, task_id, lambda task: task.seen(seen).complete(at))

    async def toggle(self, task_id: TaskId, seen: Seen = None) -> Task:
        at = self.now()
        return await self.tasks.update(self.owner, task_id, lambda task: task.seen(seen).toggle(at))

    async def delete(self, task_id: TaskId, seen: Seen = None) -> None:
        await self.tasks.remove(self.owner, task_id, seen)
