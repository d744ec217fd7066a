"""The table of tasks, and the statements on it. Each serves many calls at once, of many owners."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Executable,
    FromClause,
    Identity,
    String,
    TableValuedAlias,
    and_,
    bindparam,
    column,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.types import TypeEngine
from sqlmodel import Field, SQLModel

from domain.listing import Sort
from domain.task import Task
from domain.values import Description, TaskId, Title, UserId

_TIME = DateTime(timezone=True)


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
    created_at: datetime = Field(sa_column=Column(_TIME, nullable=False))
    updated_at: datetime = Field(sa_column=Column(_TIME, nullable=False))


TASKS = SQLModel.metadata.tables["tasks"]

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]


def _sent(statement: Executable) -> bytes:
    """As the driver sends it, made once: to have it made anew for each call would cost more than the call."""
    return str(statement.compile(dialect=_DIALECT)).encode()  # type: ignore[attr-defined]


def _task(table: FromClause) -> list[ColumnElement[Any]]:
    """The columns that make a Task, in the order of its fields."""
    return [table.c[field] for field in Task._fields]


def _asked(**columns: TypeEngine[Any]) -> TableValuedAlias:
    """One row for each call, from one parameter for each column: `each_owner`, ... `place` counts the calls from 1."""
    arrays = [bindparam(f"each_{name}", type_=ARRAY(kind)) for name, kind in columns.items()]
    rows = func.unnest(*arrays).table_valued(
        *(column(name, kind) for name, kind in columns.items()), with_ordinality="place"
    )
    return rows.render_derived("asked")


def each(values: Iterable[object]) -> str:
    """One of those parameters, as PostgreSQL reads arrays (its manual, section 8.15). psycopg would take five to twenty
    times as long, because it asks each element how it wants to be written."""
    return f"{{{','.join('NULL' if value is None else _quoted(str(value)) for value in values)}}}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_new = _asked(owner=String(), title=String(), description=String(), completed=Boolean(), at=_TIME)
_key = _asked(owner=String(), id=BigInteger())
_change = _asked(
    owner=String(),
    id=BigInteger(),
    seen=_TIME,
    title=String(),
    description=String(),
    completed=Boolean(),
    updated_at=_TIME,
)

# Ids are given in the order of the calls, because the rows are sorted before their ids are drawn from the sequence.
ADD = _sent(
    insert(TASKS)
    .from_select(
        ["user_id", "title", "description", "completed", "created_at", "updated_at"],
        select(_new.c.owner, _new.c.title, _new.c.description, _new.c.completed, _new.c.at, _new.c.at).order_by(
            _new.c.place
        ),
    )
    .returning(TASKS.c.user_id, TASKS.c.id)
)

GET = _sent(
    select(*_task(TASKS)).join_from(_key, TASKS, and_(TASKS.c.user_id == _key.c.owner, TASKS.c.id == _key.c.id))
)


def _page(sort: Sort, *, descending: bool, searching: bool) -> bytes:
    asked = _asked(
        owner=String(),
        completed=Boolean(),
        search=String(),
        after_value=_TIME if sort is Sort.UPDATED else String(),
        after_id=BigInteger(),
    )

    def order(table: FromClause) -> list[ColumnElement[Any]]:
        match sort:
            case Sort.CREATED:
                return [table.c.id]
            case Sort.UPDATED:
                return [table.c.updated_at, table.c.id]
            case Sort.TITLE:
                return [table.c.title.collate("C"), table.c.id]

    def ordered(*columns: ColumnElement[Any]) -> list[ColumnElement[Any]]:
        return [column.desc() if descending else column for column in columns]

    here: Any = tuple_(*order(TASKS))
    there: Any = tuple_(asked.c.after_value, asked.c.after_id)
    if sort is Sort.CREATED:  # in a form that the index can be searched by
        here, there = TASKS.c.id, func.coalesce(asked.c.after_id, literal_column(str(2**63 - 1) if descending else "0"))
    further = here < there if descending else here > there
    found = or_(TASKS.c.title.regexp_match(asked.c.search), TASKS.c.description.regexp_match(asked.c.search))
    of_one = (
        select(TASKS)
        .where(
            TASKS.c.user_id == asked.c.owner,
            or_(asked.c.completed.is_(None), TASKS.c.completed == asked.c.completed),
            found if searching else true(),
            further if sort is Sort.CREATED else or_(asked.c.after_id.is_(None), further),
        )
        .order_by(*ordered(TASKS.c.user_id, *order(TASKS)))
        .limit(bindparam("limit"))
        .lateral("page")
    )
    return _sent(
        select(*_task(of_one), asked.c.place)
        .join_from(asked, of_one, true())
        .order_by(asked.c.place, *ordered(*order(of_one)))
    )


PAGES: Mapping[tuple[Sort, bool, bool], bytes] = {
    (sort, descending, searching): _page(sort, descending=descending, searching=searching)
    for sort in Sort
    for descending in (False, True)
    for searching in (False, True)
}
"""By what is sorted by, whether the last comes first, and whether a text is searched: one statement with an
optional search would make PostgreSQL expect so few rows that it sorts instead of following the index. Only the order of
creation has an index: for the others, all tasks of the owner are looked at."""

# Whoever writes passes over a task that somebody else is writing, so that nobody waits for it but those who want it.
_seen = (
    select(_change)
    .join(TASKS, and_(TASKS.c.user_id == _change.c.owner, TASKS.c.id == _change.c.id))
    .where(TASKS.c.updated_at == _change.c.seen)
    .with_for_update(of=TASKS, skip_locked=True)
    .cte("unchanged")
)
SAVE = _sent(
    update(TASKS)
    .where(TASKS.c.user_id == _seen.c.owner, TASKS.c.id == _seen.c.id, TASKS.c.updated_at == _seen.c.seen)
    .values({name: _seen.c[name] for name in ("title", "description", "completed", "updated_at")})
    .returning(_seen.c.place)
)

_removal = _asked(owner=String(), id=BigInteger(), seen=_TIME)
_there = (
    select(_removal)
    .join(TASKS, and_(TASKS.c.user_id == _removal.c.owner, TASKS.c.id == _removal.c.id))
    .where(TASKS.c.updated_at == func.coalesce(_removal.c.seen, TASKS.c.updated_at))
    .with_for_update(of=TASKS, skip_locked=True)
    .cte("there")
)
REMOVE = _sent(
    delete(TASKS).where(TASKS.c.user_id == _there.c.owner, TASKS.c.id == _there.c.id).returning(_there.c.place)
)

SETTLE = b"SELECT pg_logical_emit_message(true, 'todo', '')"
"""Writes nothing that anybody reads, but returns only when everything written before is as safe as it ever will be."""
