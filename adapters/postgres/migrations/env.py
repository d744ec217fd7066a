"""Alembic's entry: all migrations in one transaction, one process at a time."""

import psycopg
from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from adapters.postgres import (
    access,
    policies,
    tables,  # noqa: F401  (fills the metadata)
)
from adapters.postgres.inspection import FORMER_VERSION_TABLE, VERSION_TABLE, former_revision
from adapters.postgres.url import CONNECT_SECONDS

LOCK = 0x746F646F  # "todo"; any number will do, as long as every version of this project takes the same

conninfo: str = context.config.attributes["conninfo"]
engine = create_engine(
    "postgresql+psycopg://",
    creator=lambda: psycopg.connect(conninfo, connect_timeout=CONNECT_SECONDS),
    poolclass=NullPool,
)


def adopt(driver: psycopg.Connection) -> bool:
    """Whether our revision was recorded under the former name only. Then it has a table of our own now."""
    revision = former_revision(driver)
    if revision is None:
        return False
    driver.execute(f"CREATE TABLE {VERSION_TABLE} (LIKE {FORMER_VERSION_TABLE} INCLUDING ALL)")
    driver.execute(f"INSERT INTO {VERSION_TABLE} SELECT * FROM {FORMER_VERSION_TABLE}")
    if revision >= access.CLOSED_AT:
        driver.execute(f"ALTER TABLE {VERSION_TABLE} ENABLE ROW LEVEL SECURITY")
    return True


with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=SQLModel.metadata, version_table=VERSION_TABLE)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        driver: psycopg.Connection = connection.connection.dbapi_connection  # type: ignore[assignment]
        adopted = adopt(driver)
        context.run_migrations()
        if adopted:  # earlier releases read the former table, and compare it with the latest revision that they know
            driver.execute(f"UPDATE {FORMER_VERSION_TABLE} SET version_num = (SELECT version_num FROM {VERSION_TABLE})")
        chosen = context.config.attributes
        policies.admit(driver, chosen.get("serving_role"), by_owner=chosen.get("by_owner"))
