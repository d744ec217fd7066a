"""Alembic's entry: all migrations in one transaction, one process at a time."""

import psycopg
from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from adapters.postgres import (
    access,
    tables,  # noqa: F401  (fills the metadata)
)
from adapters.postgres.url import CONNECT_SECONDS

LOCK = 0x746F646F  # "todo"; any number will do, as long as every version of this project takes the same

conninfo: str = context.config.attributes["conninfo"]
engine = create_engine(
    "postgresql+psycopg://",
    creator=lambda: psycopg.connect(conninfo, connect_timeout=CONNECT_SECONDS),
    poolclass=NullPool,
)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=SQLModel.metadata)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.run_migrations()
        driver: psycopg.Connection = connection.connection.dbapi_connection  # type: ignore[assignment]
        access.admit(driver, context.config.attributes.get("serving_role"))
