"""Tasks in PostgreSQL: the table, the five statements, the repository."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Executable,
    Identity,
    Row,
    String,
    TypeDecorator,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import Field, SQLModel

from adapters.postgres import OutcomeUnknown, deadline, run
from application.ports import TaskRepository
from domain.errors import StorageUnavailable, TaskNotFound
from domain.task import Draft, Task
from domain.values import Description, TaskId, Title, UserId


class UtcTime(TypeDecorator[datetime]):
    """`timestamptz`, read as UTC whatever the time zone of the server or the session is."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)


class TaskRow(SQLModel, table=True):
    """The table, with the limits of the domain's values.

    Its key begins with the owner: one index serves every statement, and the table can be sharded by owner as it is.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint("user_id <> ''", name="tasks_user_id_not_empty"),
        CheckConstraint(f"id BETWEEN 1 AND {TaskId.LARGEST}", name="tasks_id_in_range"),
        CheckConstraint("title <> ''", name="tasks_title_not_empty"),
    )

    user_id: str = Field(sa_column=Column(String(UserId.LONGEST), primary_key=True))
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    title: str = Field(sa_column=Column(String(Title.LONGEST), nullable=False))
    description: str | None = Field(sa_column=Column(String(Description.LONGEST)))
    completed: bool
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    updated_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


_TASKS = SQLModel.metadata.tables["tasks"]
_MINE = _TASKS.c.user_id == bindparam("owner")
_THIS = and_(_MINE, _TASKS.c.id == bindparam("task_id"))

# Built once; each runs alone on an autocommit connection, in one round trip. Without an owner none of them can be run,
# and a task without one cannot be stored.
_ADD = insert(_TASKS).returning(_TASKS)
_GET = select(_TASKS).where(_THIS)
_LIST = (
    select(_TASKS)
    # Where nothing is wanted, each task is compared with itself: one statement serves every filter.
    .where(_MINE, _TASKS.c.completed == func.coalesce(bindparam("wanted", type_=Boolean), _TASKS.c.completed))
    .order_by(_TASKS.c.user_id, _TASKS.c.id)
)
_SAVE = (
    update(_TASKS)
    .where(_THIS, _TASKS.c.updated_at == bindparam("seen"))
    .values({name: bindparam(f"new_{name}") for name in ("title", "description", "completed", "updated_at")})
    .returning(_TASKS.c.id)
)
_REMOVE = delete(_TASKS).where(_THIS).returning(_TASKS.c.id)


def _task(row: Row[Any]) -> Task:
    """Columns and fields have the same names. The values were valid when they were stored, so they are not parsed."""
    return Task(**row._mapping)  # noqa: SLF001, a public name of SQLAlchemy's


class SqlModelTaskRepository(TaskRepository):
    """One statement for each call, two for an update: read what is there, write if it still is.

    Where an answer is lost with its connection, what may be repeated is repeated: reading, and writing that can be told
    from what is found. A task is never added twice.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, owner: UserId, draft: Draft, at: datetime) -> Task:
        values = {
            "user_id": owner,
            "title": draft.title,
            "description": draft.description,
            "completed": draft.completed,
            "created_at": at,
            "updated_at": at,
        }
        try:
            [row] = await run(self._engine, _ADD, values, deadline())
        except OutcomeUnknown:
            raise StorageUnavailable from None
        return _task(row)

    async def get(self, owner: UserId, task_id: TaskId) -> Task:
        return await self._get(owner, task_id, deadline())

    async def list(self, owner: UserId, *, completed: bool | None = None) -> Sequence[Task]:
        return [_task(row) for row in await self._read(_LIST, {"owner": owner, "wanted": completed}, deadline())]

    async def update(self, owner: UserId, task_id: TaskId, change: Callable[[Task], Task]) -> Task:
        until = deadline()
        while True:
            seen = await self._get(owner, task_id, until)
            changed = change(seen)
            if changed == seen or await self._save(owner, seen, changed, until):
                return changed

    async def remove(self, owner: UserId, task_id: TaskId) -> None:
        values, until = {"owner": owner, "task_id": task_id}, deadline()
        try:
            removed = await run(self._engine, _REMOVE, values, until)
        except OutcomeUnknown:  # whether it was this call that removed it or another: it is gone then
            await self._read(_REMOVE, values, until)
            return
        if not removed:
            raise TaskNotFound

    async def _get(self, owner: UserId, task_id: TaskId, until: float) -> Task:
        for row in await self._read(_GET, {"owner": owner, "task_id": task_id}, until):
            return _task(row)
        raise TaskNotFound

    async def _read(self, statement: Executable, values: Mapping[str, object], until: float) -> Sequence[Row[Any]]:
        """What does no harm when it is done twice."""
        for _ in range(2):
            with suppress(OutcomeUnknown):
                return await run(self._engine, statement, values, until)
        raise StorageUnavailable

    async def _save(self, owner: UserId, seen: Task, changed: Task, until: float) -> bool:
        """Whether it was still the task that was seen. No two states of a task share their `updated_at`."""
        values = {
            "owner": owner,
            "task_id": seen.id,
            "seen": seen.updated_at,
            "new_title": changed.title,
            "new_description": changed.description,
            "new_completed": changed.completed,
            "new_updated_at": changed.updated_at,
        }
        try:
            return bool(await run(self._engine, _SAVE, values, until))
        except OutcomeUnknown:
            pass  # it was carried out, or will be, or not: the same change from the same state can be written again
        if await self._read(_SAVE, values, until) or await self._get(owner, seen.id, until) == changed:
            return True
        raise StorageUnavailable  # somebody has changed it since: ours may be below that, or may not
