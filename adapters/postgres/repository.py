"""Tasks in PostgreSQL: many calls in one statement, and each answered as if it had been alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import blake2b
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import orjson

from adapters.postgres.batching import Lane
from adapters.postgres.creations import ADD_ONCE, KNOWN, Creation
from adapters.postgres.pool import OutcomeUnknown, Pool, deadline
from adapters.postgres.statements import ADD, GET, PAGES, REMOVE, SAVE, SETTLE, each
from application.ports import TaskRepository
from domain.errors import KeyReused, StorageUnavailable, TaskNotFound
from domain.listing import ALL, Position, Selection, Sort
from domain.task import Draft, ExpectedVersions, Task
from domain.values import IdempotencyKey, TaskId, UserId

STATEMENTS = 4  # of one kind that run at once, where they are slow
LOOKING_AT_ALL = 2  # the same, of those that look at all tasks of an owner
TRIES = 3  # of what may be repeated
SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 0.1  # seconds, before a task that somebody else is writing is looked at again

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")
_Address = tuple[UserId, TaskId]

_task = Task._make
"""Of a row. Its values were valid when they were stored, so they are not parsed."""


class SqlModelTaskRepository(TaskRepository):
    """One statement for a call that meets nothing unusual; two for an update, which reads what is there and writes if
    it still is, and for a removal of what was seen.

    Calls of one kind that come together share a statement, whoever their owners are. Where an answer is lost with its
    connection, what may be repeated is repeated: reading, and writing that can be told from what is found. A task is
    never added twice.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._adding = Lane(self._add_all, statements=STATEMENTS, calls=200)
        self._adding_once = Lane(self._add_all_once, statements=STATEMENTS, calls=200)
        self._recalling = Lane(self._recall_all, statements=STATEMENTS, calls=200)
        self._getting = Lane(self._get_all, statements=STATEMENTS, calls=200)
        self._paging = {
            (sort, descending): Lane(self._page_all, statements=STATEMENTS, calls=16)
            if sort is Sort.CREATED
            else Lane(self._page_all, statements=LOOKING_AT_ALL, calls=4)
            for sort in Sort
            for descending in (False, True)
        }
        self._searching = Lane(self._page_all, statements=LOOKING_AT_ALL, calls=1)
        self._turns: WeakValueDictionary[UserId, asyncio.Lock] = WeakValueDictionary()
        self._saving = Lane(self._save_all, statements=STATEMENTS, calls=200)
        self._removing = Lane(self._remove_all, statements=STATEMENTS, calls=200)

    @property
    def lanes(self) -> Mapping[str, Lane[Any, Any]]:
        """By what is asked in them."""
        pages = {
            "_".join(["page", sort.value, *["desc"] * descending]): lane
            for (sort, descending), lane in self._paging.items()
        }
        return {
            "add": self._adding,
            "add_once": self._adding_once,
            "recall": self._recalling,
            "get": self._getting,
            **pages,
            "search": self._searching,
            "save": self._saving,
            "remove": self._removing,
        }

    async def add(self, owner: UserId, draft: Draft, at: datetime, key: IdempotencyKey | None = None) -> Task:
        if key is not None:
            return await self._add_once(owner, draft, at, key, deadline())
        try:
            return await self._adding.ask((owner, draft, at), deadline())
        except OutcomeUnknown:
            raise StorageUnavailable from None

    async def get(self, owner: UserId, task_id: TaskId) -> Task:
        return await self._get(owner, task_id, deadline())

    async def page(
        self, owner: UserId, selection: Selection = ALL, *, after: Position | None = None, limit: int
    ) -> Sequence[Task]:
        until, question = deadline(), (owner, selection, after, limit)
        if selection.search is None:
            return await _repeated(self._paging[selection.sort, selection.descending], question, until)
        async with self._turn(owner, until):
            return await _repeated(self._searching, question, until)

    @asynccontextmanager
    async def _turn(self, owner: UserId, until: float) -> AsyncIterator[None]:
        """One search of an owner at a time, so that nobody has to wait behind all that another one asks for."""
        turn = self._turns.setdefault(owner, asyncio.Lock())
        try:
            async with asyncio.timeout_at(until):
                await turn.acquire()
        except TimeoutError:
            raise StorageUnavailable from None
        try:
            yield
        finally:
            turn.release()

    async def update(self, owner: UserId, task_id: TaskId, change: Callable[[Task], Task]) -> Task:
        until, before, pause = deadline(), None, SHORTEST_PAUSE
        while True:
            seen = await self._get(owner, task_id, until)
            if seen == before:  # it was there to be written, so somebody else holds it
                pause = await _pause(pause)
            changed = change(seen)
            if changed == seen or await self._save(seen, changed, until):
                return changed
            before = seen

    async def remove(self, owner: UserId, task_id: TaskId, seen: ExpectedVersions = None) -> None:
        until = deadline()
        try:
            await self._remove(owner, task_id, seen, until)
        except OutcomeUnknown:
            await self._remove_again(owner, task_id, seen, until)

    async def _get(self, owner: UserId, task_id: TaskId, until: float) -> Task:
        task = await _repeated(self._getting, (owner, task_id), until)
        if task is None:
            raise TaskNotFound
        return task

    async def _save(self, seen: Task, changed: Task, until: float) -> bool:
        """Whether it was still the task that was seen. No two states of a task share their `updated_at`."""
        try:
            return await self._saving.ask((seen, changed), until)
        except OutcomeUnknown:
            pass  # it was carried out, or will be, or not: the same change from the same state can be written again
        if await _repeated(self._saving, (seen, changed), until):
            return True
        if await self._get(seen.user_id, seen.id, until) != changed:
            raise StorageUnavailable  # somebody has changed it since: ours may be below that, or may not
        await self._settle(until)
        return True

    async def _remove(self, owner: UserId, task_id: TaskId, seen: ExpectedVersions, until: float) -> None:
        pause, state = SHORTEST_PAUSE, None
        while True:
            if seen is not None:
                state = (await self._get(owner, task_id, until)).matching(seen).updated_at
            if await self._removing.ask((owner, task_id, state), until):
                return
            (await self._get(owner, task_id, until)).matching(seen)
            pause = await _pause(pause)  # it is there, so somebody else holds it, or did

    async def _remove_again(self, owner: UserId, task_id: TaskId, seen: ExpectedVersions, until: float) -> None:
        try:
            await self._remove(owner, task_id, seen, until)
        except TaskNotFound:  # whether it was this call that removed it or another: it is gone
            await self._settle(until)
        except OutcomeUnknown:
            raise StorageUnavailable from None

    async def _add_once(self, owner: UserId, draft: Draft, at: datetime, key: IdempotencyKey, until: float) -> Task:
        """May be repeated, because the key is stored with the task."""
        digest = _digest(draft)
        while True:
            made = await _repeated(self._adding_once, (owner, key, digest, draft, at), until)
            if made is not None:
                return _born(made, owner, draft, at)
            known = await _repeated(self._recalling, (owner, key), until)
            if known is not None:  # else it has expired since
                break
        if known.digest != digest:
            raise KeyReused
        await self._settle(until)
        return _born(known.task_id, owner, draft, known.created_at)

    async def _settle(self, until: float) -> None:
        """Before an outcome that was only found is acknowledged: what is seen need not have reached a standby yet."""
        try:
            await self._pool.run(SETTLE, {}, until)
        except OutcomeUnknown:
            raise StorageUnavailable from None

    async def _add_all(self, asked: Sequence[tuple[UserId, Draft, datetime]], until: float) -> Sequence[Task]:
        owners, drafts, times = zip(*asked, strict=True)
        values = {
            "each_owner": each(owners),
            "each_title": each(draft.title for draft in drafts),
            "each_description": each(draft.description for draft in drafts),
            "each_completed": each(draft.completed for draft in drafts),
            "each_at": each(times),
        }
        made = sorted((task_id, owner) for owner, task_id in await self._pool.run(ADD, values, until))
        if tuple(owner for _, owner in made) != owners:
            raise RuntimeError("PostgreSQL gave the new tasks other owners")
        return [_born(task_id, *call) for (task_id, _), call in zip(made, asked, strict=True)]

    async def _add_all_once(
        self, asked: Sequence[tuple[UserId, IdempotencyKey, str, Draft, datetime]], until: float
    ) -> Sequence[int | None]:
        """The ids of the tasks that were made. Of several calls with one key, the first makes it."""
        first = {(owner, key): place for place, (owner, key, *_) in reversed([*enumerate(asked)])}
        calls = [asked[place] for place in first.values()]
        values = {
            "each_owner": each(owner for owner, *_ in calls),
            "each_key": each(key for _, key, *_ in calls),
            "each_digest": each(digest for _, _, digest, _, _ in calls),
            "each_title": each(draft.title for *_, draft, _ in calls),
            "each_description": each(draft.description for *_, draft, _ in calls),
            "each_completed": each(draft.completed for *_, draft, _ in calls),
            "each_at": each(at for *_, at in calls),
        }
        made = {first[owner, key]: task_id for owner, key, task_id in await self._pool.run(ADD_ONCE, values, until)}
        return [made.get(place) for place in range(len(asked))]

    async def _recall_all(
        self, asked: Sequence[tuple[UserId, IdempotencyKey]], until: float
    ) -> Sequence[Creation | None]:
        values = {"each_owner": each(owner for owner, _ in asked), "each_key": each(key for _, key in asked)}
        rows = await self._pool.run(KNOWN, values, until)
        known = {(owner, key): Creation(*creation) for owner, key, *creation in rows}
        return [known.get(call) for call in asked]

    async def _get_all(self, asked: Sequence[_Address], until: float) -> Sequence[Task | None]:
        tasks = map(_task, await self._pool.run(GET, _addresses(asked), until))
        found: dict[tuple[str, int], Task] = {(task.user_id, task.id): task for task in tasks}
        return [found.get(key) for key in asked]

    async def _page_all(
        self, asked: Sequence[tuple[UserId, Selection, Position | None, int]], until: float
    ) -> Sequence[Sequence[Task]]:
        """Of selections in one order, all of them with a search or all without."""
        _, selection, *_ = asked[0]
        statement = PAGES[selection.sort, selection.descending, selection.search is not None]
        values: dict[str, object] = {
            "each_owner": each(owner for owner, *_ in asked),
            "each_completed": each(selection.completed for _, selection, _, _ in asked),
            "each_search": each(selection.search and selection.search.pattern for _, selection, _, _ in asked),
            "each_after_value": each(after and after.value for *_, after, _ in asked),
            "each_after_id": each(after and after.id for *_, after, _ in asked),
            "limit": max(limit for *_, limit in asked),
        }
        pages: list[list[Task]] = [[] for _ in asked]
        for row in await self._pool.run(statement, values, until):
            pages[row[-1] - 1].append(_task(row[:-1]))
        return [page[:limit] for page, (*_, limit) in zip(pages, asked, strict=True)]

    async def _save_all(self, asked: Sequence[tuple[Task, Task]], until: float) -> Sequence[bool]:
        values = {
            "each_owner": each(seen.user_id for seen, _ in asked),
            "each_id": each(seen.id for seen, _ in asked),
            "each_seen": each(seen.updated_at for seen, _ in asked),
            "each_title": each(changed.title for _, changed in asked),
            "each_description": each(changed.description for _, changed in asked),
            "each_completed": each(changed.completed for _, changed in asked),
            "each_updated_at": each(changed.updated_at for _, changed in asked),
        }
        saved = {place for (place,) in await self._pool.run(SAVE, values, until)}
        return [place in saved for place in range(1, len(asked) + 1)]

    async def _remove_all(
        self, asked: Sequence[tuple[UserId, TaskId, datetime | None]], until: float
    ) -> Sequence[bool]:
        """Of several who ask for one task, one removes it."""
        values = {
            "each_owner": each(owner for owner, _, _ in asked),
            "each_id": each(task_id for _, task_id, _ in asked),
            "each_seen": each(seen for *_, seen in asked),
        }
        removed = {place for (place,) in await self._pool.run(REMOVE, values, until)}
        return [place in removed for place in range(1, len(asked) + 1)]


def _born(task_id: int, owner: UserId, draft: Draft, at: datetime) -> Task:
    return Task(
        id=TaskId(task_id),
        user_id=owner,
        title=draft.title,
        description=draft.description,
        completed=draft.completed,
        created_at=at,
        updated_at=at,
    )


def _digest(draft: Draft) -> str:
    """Stays what it is in later versions, as far as a draft has what it has now: keys outlive a release by a day."""
    return blake2b(orjson.dumps([draft.title, draft.description, draft.completed]), digest_size=16).hexdigest()


def _addresses(asked: Sequence[_Address]) -> dict[str, str]:
    different = dict.fromkeys(asked)
    return {"each_owner": each(owner for owner, _ in different), "each_id": each(task_id for _, task_id in different)}


async def _repeated(lane: Lane[_Question, _Answer], question: _Question, until: float) -> _Answer:
    """The answer to what does no harm when it is asked again."""
    for _ in range(TRIES):
        try:
            return await lane.ask(question, until)
        except OutcomeUnknown:
            continue
    raise StorageUnavailable


async def _pause(seconds: float) -> float:
    """How long the next one is to be."""
    await asyncio.sleep(seconds)
    return min(2 * seconds, LONGEST_PAUSE)
