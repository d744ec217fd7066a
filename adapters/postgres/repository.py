"""Tasks in PostgreSQL: calls of single statements, and which of them may be retried."""

import asyncio
import random
from array import array
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from hashlib import blake2b
from operator import attrgetter, itemgetter
from typing import Any

import orjson

from adapters.postgres.connection import Rows
from adapters.postgres.database import Database
from adapters.postgres.failures import OutcomeUnknown
from adapters.postgres.fairness import Turns
from adapters.postgres.remembered_states import RememberedStates
from adapters.postgres.sql import Statement, array_literal
from adapters.postgres.statements import (
    ADD,
    ADD_ONCE,
    BY_IDS,
    COUNT,
    EXTRAS,
    FIELDS,
    GET,
    IDS,
    PAGES,
    RECALL,
    REMOVE,
    REMOVE_ALL,
    REMOVE_OLDEST,
    SAVE,
    SAVE_AGAIN,
    SETTLE,
    with_extras,
)
from application.ports import TaskRepository
from domain.errors import (
    DomainError,
    KeyReused,
    ListChanged,
    QuotaExceeded,
    StorageUnavailable,
    TaskNotFound,
    TooManyRequests,
)
from domain.extras import Extras
from domain.listing import ALL, Position, Selection, Sort
from domain.task import Draft, ExpectedVersions, Task
from domain.values import IdempotencyKey, TaskId, UserId

Statements = Mapping[tuple[Sort, bool, bool], Statement]

MAX_WAITING = 16  # calls of one owner that take turns: a scan of a long list takes tenths of a second
SHORTEST_DELAY, LONGEST_DELAY = 0.005, 0.1  # seconds, before a task that another transaction has locked is retried

_FIELDS_OF_FIRST_RELEASE = ("title", "description", "completed")
_fields: Callable[[Draft], tuple[Any, ...]] = attrgetter(*FIELDS)  # those of a task between its owner and its times


class PostgresTaskRepository(TaskRepository):
    """One statement per call where nothing unusual happens; two for a removal, which looks first, and for an update of
    a task whose state is not remembered: it reads, and then writes if the task is unchanged.

    Where a write's outcome is unknown, it is retried only if that cannot change a task twice, or if its effect can be
    told from what is stored. A task is never added twice.
    """

    def __init__(
        self, database: Database, max_tasks: int | None = None, *, extras: bool = False, remembered: int = 0
    ) -> None:
        """`max_tasks`: quota of one owner, checked before each addition. Additions of one owner then take turns here;
        each other process may add one more at the same moment.

        `extras`: stores and returns them. Otherwise tasks have none, and those that are stored stay as they are.

        `remembered`: bytes of the states that it remembers."""
        self._database = database
        self._statement: Callable[[Statement], Statement] = with_extras if extras else _as_it_is
        self._task: Callable[[Sequence[Any]], Task] = _task_with_extras if extras else _task
        fields = (*FIELDS, EXTRAS) if extras else (*FIELDS,)
        self._fields: Callable[[Draft | Task], tuple[Any, ...]] = attrgetter(*fields)
        places = map(Task._fields.index, ("updated_at", "created_at", *fields))
        self._expected: Callable[[Sequence[Any]], tuple[Any, ...]] = itemgetter(*places)
        self._states = RememberedStates(remembered, self._task)
        self._max_tasks = max_tasks
        self._scans, self._additions = Turns(MAX_WAITING), Turns(MAX_WAITING)

    async def add(self, owner: UserId, draft: Draft, at: datetime, key: IdempotencyKey | None = None) -> Task:
        deadline = self._database.deadline()
        if self._max_tasks is None:
            return await self._add(owner, draft, at, key, deadline)
        async with self._additions.turn(owner, deadline):
            [[count]] = await self._database.ask(COUNT, owner, self._max_tasks, deadline=deadline)
            if count >= self._max_tasks and not (key and await self._is_used(owner, key, at, deadline)):
                raise QuotaExceeded
            return await self._add(owner, draft, at, key, deadline)

    async def get(self, owner: UserId, task_id: TaskId) -> Task:
        task = await self._get(owner, task_id, self._database.deadline())
        self._states.note_read(owner, [task])
        return task

    async def page(
        self, owner: UserId, selection: Selection = ALL, *, after: Position | None = None, limit: int
    ) -> Sequence[Task]:
        return self._found(owner, await self._list(PAGES, owner, selection, after, limit))

    async def ids(
        self, owner: UserId, selection: Selection = ALL, *, after: Position | None = None, limit: int
    ) -> tuple[Sequence[TaskId], Position | None]:
        for found, last in await self._list(IDS, owner, selection, after, limit):
            return array("q", found), Position(last, TaskId(found[-1]))  # type: ignore[return-value]
        return (), None

    async def by_ids(self, owner: UserId, ids: Sequence[TaskId]) -> Sequence[Task]:
        deadline = self._database.deadline()
        return self._found(owner, await self._ask(BY_IDS, owner, array_literal(ids), deadline=deadline))

    async def update(self, owner: UserId, task_id: TaskId, change: Callable[[Task], Task]) -> Task:
        deadline, previous, delay = self._database.deadline(), None, SHORTEST_DELAY
        remembered = self._states.get(owner, task_id)
        if remembered and (changed := _changed(remembered, change)):
            if await self._save(remembered, changed, deadline):
                return changed
            self._states.forget(owner, task_id)
            previous = remembered
        while True:
            row = await self._row(owner, task_id, deadline)
            task = self._task(row)
            if task == previous:  # unchanged and yet not saved: another transaction has locked it
                delay = await _back_off(delay)
            changed = change(task)
            if changed == task or await self._save(row, changed, deadline):
                return changed
            previous = task

    async def remove(self, owner: UserId, task_id: TaskId, expected: ExpectedVersions = None) -> None:
        deadline, delay, in_doubt, previous = self._database.deadline(), SHORTEST_DELAY, False, None
        while True:
            try:  # looks first: once an outcome is unknown, nothing else tells a removed task from one that never was
                task = (await self._get(owner, task_id, deadline)).matching(expected)
                if task == previous:  # unchanged and yet not removed: another transaction has locked it
                    delay = await _back_off(delay)
                version = None if expected is None else task.updated_at
                if await self._database.ask(REMOVE, owner, task_id, version, deadline=deadline):
                    self._states.forget(owner, task_id)
                    return None
                previous = task
            except TaskNotFound:
                if not in_doubt:
                    raise
                return await self._settle(owner, deadline)  # whether this call removed it or another: it is gone
            except OutcomeUnknown:
                if in_doubt:
                    raise StorageUnavailable from None
                in_doubt = True

    async def remove_oldest(self, owner: UserId, *, up_to: TaskId, limit: int) -> int:
        deadline, delay = self._database.deadline(), SHORTEST_DELAY
        while True:
            removed = await self._database.ask(REMOVE_OLDEST, owner, up_to, limit, deadline=deadline)
            if removed:
                return len(removed)
            remaining = await self._page(owner, 1, deadline)
            if not remaining or remaining[0].id > up_to:
                await self._settle(owner, deadline)  # another call may have removed them
                return 0
            delay = await _back_off(delay)  # another transaction has locked those that remain

    async def remove_all(self, owner: UserId, expected: Sequence[Task]) -> None:
        deadline, delay, in_doubt = self._database.deadline(), SHORTEST_DELAY, False
        versions = orjson.dumps([(task.id, task.updated_at) for task in expected]).decode()
        while True:
            try:
                if await self._database.ask(REMOVE_ALL, owner, versions, deadline=deadline):
                    return None
            except OutcomeUnknown:
                if in_doubt:
                    raise StorageUnavailable from None
                in_doubt = True
                continue
            stored = await self._page(owner, len(expected) + 1, deadline)
            if in_doubt and not stored:  # whether this call removed them or another: they are gone
                return await self._settle(owner, deadline)
            if stored != [*expected]:
                raise ListChanged
            delay = await _back_off(delay)  # another transaction has locked some of them

    async def _list(
        self, statements: Statements, owner: UserId, selection: Selection, after: Position | None, limit: int
    ) -> Rows:
        deadline, search = self._database.deadline(), selection.search and selection.search.pattern
        statement = statements[selection.sort, selection.descending, search is not None]
        arguments = owner, selection.completed, search, *(after or (None, None)), limit
        if not statement.scans:
            return await self._ask(statement, *arguments, deadline=deadline)
        async with self._scans.turn(owner, deadline):
            return await self._ask(statement, *arguments, deadline=deadline)

    async def _add(
        self, owner: UserId, draft: Draft, at: datetime, key: IdempotencyKey | None, deadline: float
    ) -> Task:
        if key is not None:
            return await self._add_once(owner, draft, at, key, deadline)
        try:
            [[task_id]] = await self._ask(ADD, owner, at, *self._fields(draft), deadline=deadline)
        except OutcomeUnknown:  # without a key, a retry might add a second task
            raise StorageUnavailable from None
        self._states.note_created(owner)
        return _created(task_id, owner, draft, at)

    async def _is_used(self, owner: UserId, key: IdempotencyKey, at: datetime, deadline: float) -> bool:
        """Whether an addition with this key would add nothing."""
        rows = await self._database.ask(RECALL, owner, key, deadline=deadline)
        return any(at - created_at < IdempotencyKey.LIFETIME for _, _, created_at in rows)

    async def _page(self, owner: UserId, limit: int, deadline: float) -> Sequence[Task]:
        """The owner's oldest tasks."""
        statement = PAGES[Sort.CREATED, False, False]
        rows = await self._ask(statement, owner, None, None, None, None, limit, deadline=deadline)
        return [*map(self._task, rows)]

    def _found(self, owner: UserId, rows: Rows) -> list[Task]:
        tasks = [*map(self._task, rows)]
        self._states.note_read(owner, tasks)
        return tasks

    def _ask(self, statement: Statement, *arguments: object, deadline: float) -> Awaitable[Rows]:
        """For statements that have the fields of a task."""
        return self._database.ask(self._statement(statement), *arguments, deadline=deadline)

    async def _get(self, owner: UserId, task_id: TaskId, deadline: float) -> Task:
        return self._task(await self._row(owner, task_id, deadline))

    async def _row(self, owner: UserId, task_id: TaskId, deadline: float) -> Sequence[Any]:
        rows = await self._ask(GET, owner, task_id, deadline=deadline)
        if not rows:
            raise TaskNotFound
        return rows[0]

    async def _save(self, expected: Sequence[Any], changed: Task, deadline: float) -> bool:
        """Whether the task was still stored as expected, and is changed now.

        `expected`: its row as it was read, since extras that were not written here may have another spelling as `Task`;
        or a remembered task."""
        stored, wanted = self._expected(expected), self._fields(changed)
        arguments = changed.user_id, changed.id, *stored, changed.updated_at, *wanted
        try:
            saved = bool(await self._ask(SAVE, *arguments, deadline=deadline))
        except OutcomeUnknown:
            with _possibly_executed():
                saved = await self._saved(changed, arguments, deadline)
        if saved:
            self._states.note_changed(changed.user_id, changed)
        return saved

    async def _saved(self, changed: Task, arguments: Sequence[Any], deadline: float) -> bool:
        """Whether the change is stored, after an attempt whose outcome is unknown."""
        if await self._ask(SAVE_AGAIN, *arguments, deadline=deadline):
            return True
        if await self._get(changed.user_id, changed.id, deadline) != changed:
            raise StorageUnavailable  # changed by another call since, perhaps on top of this change
        await self._settle(changed.user_id, deadline)
        return True

    async def _add_once(self, owner: UserId, draft: Draft, at: datetime, key: IdempotencyKey, deadline: float) -> Task:
        digest = _digest(draft)
        while True:
            rows = await self._ask(ADD_ONCE, owner, key, digest, at, *self._fields(draft), deadline=deadline)
            if rows:
                self._states.note_created(owner)
                return _created(rows[0][0], owner, draft, at)
            rows = await self._database.ask(RECALL, owner, key, deadline=deadline)
            if rows:  # else it has expired in between
                break
        [(first_digest, task_id, created_at)] = rows
        if first_digest != digest:
            raise KeyReused
        await self._settle(owner, deadline)
        return _created(task_id, owner, draft, created_at)

    async def _settle(self, owner: UserId, deadline: float) -> None:
        """Before a write is acknowledged that was only observed: what can be read need not be on a standby yet."""
        await self._database.ask(SETTLE, owner, deadline=deadline)


def _as_it_is(statement: Statement) -> Statement:
    return statement


def _task(row: Sequence[Any]) -> Task:
    return Task(*row)


def _task_with_extras(row: Sequence[Any]) -> Task:
    task = Task(*row)
    return task if task.extras is None else task._replace(extras=Extras.stored(task.extras))


def _created(task_id: int, owner: UserId, draft: Draft, at: datetime) -> Task:
    return Task._make((TaskId(task_id), owner, *_fields(draft), at, at, draft.extras))


def _changed(task: Task, change: Callable[[Task], Task]) -> Task | None:
    """The task as the change makes it; None where that must not be decided by a state that may be stale, since the
    change has no effect on it, or is refused."""
    try:
        changed = change(task)
    except DomainError:
        return None
    return None if changed == task else changed


def _digest(draft: Draft) -> str:
    """Fingerprint of a draft. Fields that a later release adds are left out while they have their default, so that the
    stored digests stay valid: keys outlive a release by a day."""
    added = [field for field in fields(draft) if field.name not in _FIELDS_OF_FIRST_RELEASE]
    values = [getattr(draft, name) for name in _FIELDS_OF_FIRST_RELEASE]
    values += [[field.name, value] for field in added if (value := getattr(draft, field.name)) != field.default]
    return blake2b(orjson.dumps(values), digest_size=16).hexdigest()


@contextmanager
def _possibly_executed() -> Iterator[None]:
    """TooManyRequests promises that nothing has happened, which nobody knows any more."""
    try:
        yield
    except TooManyRequests:
        raise StorageUnavailable from None


async def _back_off(delay: float) -> float:
    """Waits, and returns the delay of the next retry: exponential backoff with jitter."""
    await asyncio.sleep(random.uniform(delay / 2, delay))
    return min(2 * delay, LONGEST_DELAY)
