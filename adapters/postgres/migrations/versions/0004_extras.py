"""The column of additional members: nullable and without a default, so no row is rewritten."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("extras", JSONB))


def downgrade() -> None:
    op.drop_column("tasks", "extras")
