"""SQLModel tables. Alembic compares them with the migrations; requests use the SQL of `statements`."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from domain.values import Description, IdempotencyKey, TaskId, Title, UserId

_TIME = DateTime(timezone=True)


class TaskRow(SQLModel, table=True):
    """Tasks, with the limits of the domain's values.

    The primary key begins with the owner: one index serves every statement, and the table can be sharded by owner.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint("user_id <> ''", name="tasks_user_id_not_empty"),
        CheckConstraint(f"id BETWEEN 1 AND {TaskId.LARGEST}", name="tasks_id_in_range"),
        CheckConstraint("title <> ''", name="tasks_title_not_empty"),
    )

    user_id: str = Field(primary_key=True, max_length=UserId.LONGEST)
    id: int | None = Field(default=None, primary_key=True, sa_type=BigInteger, sa_column_args=[Identity(always=True)])
    title: str = Field(max_length=Title.LONGEST)
    description: str | None = Field(default=None, max_length=Description.LONGEST)
    completed: bool
    created_at: datetime = Field(sa_type=_TIME)
    updated_at: datetime = Field(sa_type=_TIME)
    extras: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))


class CreationRow(SQLModel, table=True):
    """Idempotency keys, each with the id of the task it created and a digest of the draft: the task may be deleted."""

    __tablename__ = "task_creations"
    __table_args__ = (Index("task_creations_created_at", "created_at"),)

    user_id: str = Field(primary_key=True, max_length=UserId.LONGEST)
    key: str = Field(primary_key=True, max_length=IdempotencyKey.LONGEST)
    digest: str = Field(max_length=32)
    task_id: int = Field(sa_type=BigInteger)
    created_at: datetime = Field(sa_type=_TIME)
