"""The way to PostgreSQL: the pool of connections, and what a failure means."""

import select
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from sqlalchemy import Executable, Row, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from adapters.database_url import CONNECT_SECONDS, is_pooled
from domain.errors import StorageUnavailable

WAIT_SECONDS = 5  # for a connection, while all are in use


def open_pool(conninfo: str, *, connections: int, prepare: bool | None) -> AsyncEngine:
    """An engine that connects on demand, at most `connections` times, and commits every statement by itself.

    `prepare`: use server-side prepared statements. None: unless the host is one of Neon's poolers, because a PgBouncer
    in transaction mode may know none.
    """
    if prepare is None:
        prepare = not is_pooled(conninfo)
    threshold = 5 if prepare else None  # executions after which a statement is prepared

    async def connect() -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(
            conninfo,
            autocommit=True,
            prepare_threshold=threshold,
            connect_timeout=CONNECT_SECONDS,
            client_encoding="utf8",
        )
        if not (connection.info.parameter_status("DateStyle") or "").startswith("ISO"):
            await connection.execute("SET datestyle = 'ISO'")  # the only one that psycopg reads
        return connection

    engine = create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        isolation_level="AUTOCOMMIT",
        pool_size=connections,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        pool_reset_on_return=None,  # nothing to roll back: no transaction outlives its statement
        hide_parameters=True,  # or an error would carry a task's text into the log
    )
    event.listen(engine.sync_engine, "checkout", _refuse_if_dead)
    return engine


def _refuse_if_dead(connection: Any, *_: object) -> None:
    """Makes the pool connect anew where the server has hung up, without a round trip to ask.

    An idle connection has nothing to read. If it has, the server said goodbye or closed the connection.
    """
    waiting = select.poll()
    waiting.register(connection.driver_connection.fileno(), select.POLLIN)
    if waiting.poll(0):
        raise DisconnectionError


async def run(engine: AsyncEngine, statement: Executable, values: Mapping[str, object]) -> Sequence[Row[Any]]:
    """The rows of one statement, committed. Raises StorageUnavailable where the database cannot be had.

    Anything else that PostgreSQL objects to is a defect, reported by its SQLSTATE only: its text may quote a task.
    """
    try:
        async with engine.connect() as connection:
            return (await connection.execute(statement, values)).all()
    except (OperationalError, InterfaceError, NoFreeConnection) as failure:
        raise StorageUnavailable from failure
    except DBAPIError as defect:
        sqlstate = getattr(defect.orig, "sqlstate", None)
        raise RuntimeError(f"PostgreSQL refused a statement: SQLSTATE {sqlstate}") from None


async def ping(engine: AsyncEngine) -> None:
    """Returns if the database answers and holds our table. Raises StorageUnavailable."""
    [[migrated]] = await run(engine, text("SELECT to_regclass('tasks') IS NOT NULL"), {})
    if not migrated:
        raise StorageUnavailable
