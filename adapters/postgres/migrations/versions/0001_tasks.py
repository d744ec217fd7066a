"""The table of tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("user_id", sa.String(255), primary_key=True),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("description", sa.String(5000)),
        sa.Column("completed", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("user_id <> ''", name="tasks_user_id_not_empty"),
        sa.CheckConstraint("id BETWEEN 1 AND 9007199254740991", name="tasks_id_in_range"),
        sa.CheckConstraint("title <> ''", name="tasks_title_not_empty"),
    )


def downgrade() -> None:
    op.drop_table("tasks")
