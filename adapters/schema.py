"""The schema of the database: which revision it has, and how it gets to the one that this code needs.

Alembic is imported where it is used, so that a process that only serves starts without it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from adapters.database_url import CONNECT_SECONDS, direct

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS = Path(__file__).with_name("migrations")

HEAD = max(step.name[:4] for step in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
"""The revision that this code needs. Revisions are numbers of four digits, so the later one is the larger one."""


def migrate(conninfo: str) -> None:
    """Brings the schema to this code's revision; a newer one stays. Of two at once one waits, both succeed."""
    if needs_migration(revision(conninfo)):
        from alembic import command

        command.upgrade(_config(conninfo), "head")


def unmigrate(conninfo: str) -> None:
    """Takes every migration back, and with them every task."""
    from alembic import command

    command.downgrade(_config(conninfo), "base")


def revision(conninfo: str) -> str | None:
    """The revision that the database has; None where it was never migrated. Raises psycopg.Error."""
    with psycopg.connect(direct(conninfo), connect_timeout=CONNECT_SECONDS, autocommit=True) as connection:
        found = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
        if found is None or found[0] is None:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def needs_migration(revision: str | None) -> bool:
    """Whether this code is ahead of the database. Behind it is fine: a newer version is being rolled out."""
    return revision is None or revision < HEAD


def _config(conninfo: str) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["conninfo"] = direct(conninfo)
    return config
