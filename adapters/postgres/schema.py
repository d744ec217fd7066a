"""Schema of the database: its revision, and the migration to the revision that this code needs.

Alembic is imported where it is used, because `todo serve` does not need it.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from adapters.postgres import access, citus, inspection, policies
from adapters.postgres.engines import refuse_unsupported
from adapters.postgres.failures import first_line
from adapters.postgres.inspection import UnsuitableDatabase
from adapters.postgres.url import CONNECT_SECONDS, direct
from domain.errors import StorageUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = inspection.REVISIONS[-1]
"""The revision that this code needs."""

ADMITS_BY_OWNER = "admits tasks by their owner: set DATABASE_ROW_SECURITY=true"
"""What row-level security does, where statements carry no owners."""

HIDDEN = "row-level security hides all tasks from it; as their owner, run `todo migrate --serving-role` with its name"


class NotPermitted(Exception):
    """The role in the database URL lacks a privilege. The message is one line, PostgreSQL's or ours."""


def migrate(
    conninfo: str, serving_role: str | None = None, *, by_owner: bool | None = None, distributed: bool | None = None
) -> None:
    """Upgrades the schema to this code's revision. A newer schema is left alone. Safe to run concurrently.

    In the same transaction, gives the serving roles, and this one with them, what serving needs (`policies.admit`).
    `distributed`: then distributes the tables by Citus; None: if the database has it. Raises StorageUnavailable,
    NotPermitted, UnsuitableDatabase and access.CannotServe.
    """
    with _connection(conninfo) as connection:
        citus.refuse_worker(connection)
    before = revision(conninfo)
    if before is not None and before < access.CLOSED_AT:
        with _connection(conninfo) as connection:
            access.refuse_to_shut_out(connection, serving_role)
    if needs_migration(before) or _is_recorded_under_the_former_name(conninfo):
        from alembic import command
        from sqlalchemy.exc import DBAPIError

        config = alembic_config(conninfo)
        config.attributes.update(serving_role=serving_role, by_owner=by_owner)
        try:
            with _translated():
                command.upgrade(config, "head")
        except DBAPIError as failure:
            with _translated():
                raise failure.orig or failure from None
    elif serving_role is not None:
        with _connection(conninfo) as connection, connection.transaction():
            policies.admit(connection, serving_role, by_owner=by_owner)
    with _connection(conninfo) as connection:
        if citus.is_installed(connection) if distributed is None else distributed:
            citus.distribute(connection)


def is_distributed(conninfo: str) -> bool:
    """Whether the tables are distributed by Citus. Raises StorageUnavailable."""
    with _connection(conninfo) as connection:
        return citus.is_distributed(connection)


def cluster(conninfo: str) -> tuple[Sequence[citus.Node], Sequence[str]]:
    """The nodes of a distributed database, and the names of statements that touch more than one shard. Raises
    StorageUnavailable."""
    with _connection(conninfo) as connection:
        plans = citus.plans(connection)
        return citus.nodes(connection), [name for name, plan in plans if not citus.touches_one_shard(plan)]


def wait_until_available(conninfo: str, seconds: float) -> None:
    """Returns once the database accepts connections. Raises StorageUnavailable if it still does not after this time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            server(conninfo)
        except StorageUnavailable:
            if time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(0.5)


def revision(conninfo: str) -> str | None:
    """The revision of the database; None if it was never migrated. Raises StorageUnavailable, NotPermitted and
    UnsuitableDatabase."""
    with _connection(conninfo) as connection:
        if access.is_hidden(connection):
            raise NotPermitted(HIDDEN)
        if citus.is_worker(connection):
            return citus.revision_at_coordinator(connection)
        return inspection.revision(connection)


def survey(conninfo: str) -> access.Access:
    """Which roles reach the tasks. Raises StorageUnavailable and NotPermitted."""
    with _connection(conninfo) as connection:
        return access.survey(connection)


def is_by_owner(conninfo: str) -> bool | None:
    """Whether the role sees the rows of those owners only that a statement carries; None if row-level security does not
    apply to it. Raises StorageUnavailable."""
    with _connection(conninfo) as connection:
        return policies.is_by_owner(connection)


def server(conninfo: str) -> str:
    """Version and host of the server, and how the connection is protected, for people. Raises StorageUnavailable and
    UnsuitableDatabase."""
    with _connection(conninfo) as connection:
        version, host = connection.info.parameter_status("server_version"), connection.info.host
        return f"PostgreSQL {version} at {host}, {_protection(connection)}"


def _protection(connection: psycopg.Connection) -> str:
    if connection.info.host.startswith(("/", "@")):
        return "over a Unix socket"
    if not connection.pgconn.ssl_in_use:
        return "not encrypted"
    options = {option.keyword: option.val for option in connection.pgconn.info}
    match options[b"sslmode"]:
        case b"verify-full":
            return "encrypted and verified"
        case b"verify-ca":
            return "encrypted, the host's name not verified (sslmode=verify-full does)"
        case _:
            return "encrypted, the server not verified (sslmode=verify-full does)"


def obstacle_to_writes(conninfo: str) -> str | None:
    """Why requests will fail on a migrated database, although it responds; None if they will not. Raises
    StorageUnavailable."""
    with _connection(conninfo) as connection:
        return inspection.obstacle_to_writes(connection, access.PRIVILEGES)


def _is_recorded_under_the_former_name(conninfo: str) -> bool:
    with _connection(conninfo) as connection:
        return inspection.former_revision(connection) is not None


@contextmanager
def _connection(conninfo: str) -> Iterator[psycopg.Connection]:
    with (
        _translated(),
        psycopg.connect(
            direct(conninfo), connect_timeout=CONNECT_SECONDS, autocommit=True, client_encoding="utf8"
        ) as connection,
    ):
        inspection.require_utf8(connection)
        refuse_unsupported(connection)
        yield connection


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as failure:
        raise StorageUnavailable(first_line(failure)) from failure
    except psycopg.errors.InsufficientPrivilege as failure:
        raise NotPermitted(first_line(failure)) from failure
    except psycopg.errors.ReadOnlySqlTransaction as failure:
        raise UnsuitableDatabase(f"it is read-only ({first_line(failure)}): use the primary server") from failure


def needs_migration(revision: str | None) -> bool:
    """Whether the database is older than this code. A newer one is fine: the next version is being rolled out."""
    return revision is None or revision < HEAD


def alembic_config(conninfo: str) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(inspection.MIGRATIONS).replace("%", "%%"))
    config.attributes["conninfo"] = direct(conninfo)
    return config
