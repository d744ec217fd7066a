"""The use cases: one owner's to-do list."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from application.ports import Clock, TaskRepository
from domain.listing import ALL, Position, Selection, Sort
from domain.task import Changes, Draft, ExpectedVersions, Task
from domain.values import IdempotencyKey, TaskId, UserId

CHUNK = 200  # tasks of a list that are in memory at once
CHUNK_BYTES = 256 * 1024  # of their texts, in a list of more than one chunk; 200 tasks may have 4 MB
PART = 10_000  # ids of a sorted list that are in memory at once


@dataclass(frozen=True, slots=True)
class TodoList:
    """A capability: its holder may do everything with this owner's tasks, and nothing with anybody else's.

    Methods that take a task id raise TaskNotFound where the owner has no such task. Those that take `expected` raise
    TaskChanged where the task is in none of these versions.
    """

    owner: UserId
    tasks: TaskRepository
    now: Clock

    async def create(self, draft: Draft, key: IdempotencyKey | None = None) -> Task:
        """With a key, safe to retry: see TaskRepository.add."""
        return await self.tasks.add(self.owner, draft, self.now(), key)

    async def list(self, selection: Selection = ALL, *, after: Position | None = None) -> AsyncIterator[Sequence[Task]]:
        """All tasks that the selection includes (after a position), in chunks; the last may be empty. Chunks are
        separate reads: a concurrent change may or may not show. Holds none while the caller uses it.

        A list of more than CHUNK tasks comes in chunks of at most CHUNK_BYTES or one task, a shorter one in one chunk.
        Every read of an order without an index sorts all tasks, so the ids of many are read at once, then the tasks.
        """
        more, limit, split = True, CHUNK, False
        while more:
            found = await self.tasks.page(self.owner, selection, after=after, limit=limit + 1)
            split = split or len(found) > limit
            chunks = [_beginning(found, limit) if split else found]
            more = len(chunks[0]) < len(found)
            del found
            if more:
                after, limit = selection.position(chunks[0][-1]), _next_limit(chunks[0])
            yield chunks.pop()
            if selection.sort is not Sort.CREATED:
                break
        while more:
            ids, after = await self.tasks.ids(self.owner, selection, after=after, limit=PART)
            more = len(ids) == PART
            start = 0
            while start < len(ids):
                found = await self.tasks.by_ids(self.owner, ids[start : start + limit])
                found = [task for task in found if selection.includes(task)]
                chunks = [_beginning(found, limit)]
                start = start + limit if len(chunks[0]) == len(found) else ids.index(chunks[0][-1].id, start) + 1
                del found
                if chunks[0]:
                    limit = _next_limit(chunks[0])
                    yield chunks.pop()

    async def page(
        self, selection: Selection, *, after: Position | None, limit: int
    ) -> tuple[Sequence[Task], Position | None]:
        """At most `limit` tasks, and the position after which the next page starts; None if there is no next page."""
        found = await self.tasks.page(self.owner, selection, after=after, limit=limit + 1)
        return found[:limit], selection.position(found[limit - 1]) if len(found) > limit else None

    async def position(self, selection: Selection, *, after: Position | None, skipped: int) -> Position | None:
        """The position after that many tasks, or after the last one if there are fewer. Reads all their ids."""
        while skipped > 0:
            ids, last = await self.tasks.ids(self.owner, selection, after=after, limit=min(skipped, PART))
            if last is None:
                break
            after, skipped = last, skipped - len(ids)
        return after

    async def get(self, task_id: TaskId) -> Task:
        return await self.tasks.get(self.owner, task_id)

    async def edit(self, task_id: TaskId, changes: Changes, expected: ExpectedVersions = None) -> Task:
        at = self.now()
        return await self.tasks.update(self.owner, task_id, lambda task: task.matching(expected).edit(changes, at))

    async def complete(self, task_id: TaskId, expected: ExpectedVersions = None) -> Task:
        at = self.now()
        return await self.tasks.update(self.owner, task_id, lambda task: task.matching(expected).complete(at))

    async def toggle(self, task_id: TaskId, expected: ExpectedVersions = None) -> Task:
        at = self.now()
        return await self.tasks.update(self.owner, task_id, lambda task: task.matching(expected).toggle(at))

    async def delete(self, task_id: TaskId, expected: ExpectedVersions = None) -> None:
        await self.tasks.remove(self.owner, task_id, expected)

    async def delete_all(self) -> int:
        """How many of the tasks that there were when the call began it has deleted: all, unless others delete too.

        Deletes in chunks. If it fails in between it may be repeated, and then counts the rest.
        """
        newest = await self.tasks.page(self.owner, Selection(descending=True), limit=1)
        count = 0
        while newest and (removed := await self.tasks.remove_oldest(self.owner, up_to=newest[0].id, limit=CHUNK)):
            count += removed
        return count

    async def delete_exactly(self, expected: Sequence[Task]) -> int:
        """Deletes all tasks if these are the owner's, in these states, or none of them. Raises ListChanged."""
        if expected:
            await self.tasks.remove_all(self.owner, expected)
        return len(expected)


def _beginning(tasks: Sequence[Task], limit: int) -> Sequence[Task]:
    """At most `limit` of the first tasks, and only as many as have CHUNK_BYTES of text in memory; one at least."""
    size = 0
    for number, task in enumerate(tasks[:limit]):
        size += sum(text.__sizeof__() for text in (task.title, task.description, task.extras) if text)
        if size > CHUNK_BYTES and number:
            return tasks[:number]
    return tasks[:limit]


def _next_limit(chunk: Sequence[Task]) -> int:
    """Tasks to read after this chunk. More than it had, because they may be shorter; what has no room is read again."""
    return min(CHUNK, 2 * len(chunk))
