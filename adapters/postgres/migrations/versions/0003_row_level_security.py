"""Row-level security on every table, so that a grant alone opens none of them to another role.

Without FORCE: the role that owns the tables is not affected. Policies belong to roles, and are made by
`adapters.postgres.access`.
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for table in _tables():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")


def downgrade() -> None:
    for table in _tables():
        op.execute(f"DROP POLICY IF EXISTS todo_serving ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


def _tables() -> tuple[str, ...]:
    """The table of the revision too: a stranger who changes it decides which migrations run."""
    return ("tasks", "task_creations", op.get_context().version_table)
