"""The table of idempotency keys, and what creates a task only if its key is new."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, DateTime, Index, String
from sqlmodel import Field, SQLModel

from domain.values import IdempotencyKey, UserId


class CreationRow(SQLModel, table=True):
    """Which task a key has made. What it was made of is kept as a digest only: the task may have been deleted since."""

    __tablename__ = "task_creations"
    __table_args__ = (Index("task_creations_created_at", "created_at"),)

    user_id: str = Field(sa_column=Column(String(UserId.LONGEST), primary_key=True))
    key: str = Field(sa_column=Column(String(IdempotencyKey.LONGEST), primary_key=True))
    digest: str = Field(sa_column=Column(String(32), nullable=False))
    task_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class Creation(NamedTuple):
    """What a key is known for."""

    digest: str
    task_id: int
    created_at: datetime


_EXPIRED = f"interval '{IdempotencyKey.LIFETIME.total_seconds():.0f} seconds'"

# By hand, because SQLAlchemy cannot say OVERRIDING SYSTEM VALUE. A key that somebody else is storing right now is
# waited for, and then not returned. In passing, some of the keys that have expired are removed.
ADD_ONCE = f"""
WITH asked AS (
    SELECT * FROM unnest(
        %(each_owner)s::varchar[], %(each_key)s::varchar[], %(each_digest)s::varchar[], %(each_title)s::varchar[],
        %(each_description)s::varchar[], %(each_completed)s::boolean[], %(each_at)s::timestamptz[]
    ) AS asked (owner, key, digest, title, description, completed, at)
), fresh AS (
    INSERT INTO task_creations AS known (user_id, key, digest, task_id, created_at)
    SELECT owner, key, digest, nextval(pg_get_serial_sequence('tasks', 'id')), at FROM asked ORDER BY owner, key
    ON CONFLICT (user_id, key) DO UPDATE
        SET digest = excluded.digest, task_id = excluded.task_id, created_at = excluded.created_at
        WHERE known.created_at <= excluded.created_at - {_EXPIRED}
    RETURNING user_id, key, task_id
), made AS (
    INSERT INTO tasks (user_id, id, title, description, completed, created_at, updated_at) OVERRIDING SYSTEM VALUE
    SELECT owner, task_id, title, description, completed, at, at
    FROM fresh JOIN asked ON (fresh.user_id, fresh.key) = (asked.owner, asked.key)
), forgotten AS (
    DELETE FROM task_creations WHERE (user_id, key) IN (
        SELECT user_id, key FROM task_creations AS old
        WHERE created_at <= (SELECT min(at) FROM asked) - {_EXPIRED}
            AND NOT EXISTS (SELECT FROM asked WHERE (owner, asked.key) = (old.user_id, old.key))
        ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED
    )
)
SELECT user_id, key, task_id FROM fresh
""".encode()

KNOWN = b"""
SELECT user_id, known.key, digest, task_id, created_at
FROM unnest(%(each_owner)s::varchar[], %(each_key)s::varchar[]) AS asked (owner, key)
JOIN task_creations AS known ON (known.user_id, known.key) = (asked.owner, asked.key)
"""
