"""`todo doctor`: what an operator would look at first, each in a line."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from adapters import schema
from adapters.better_auth import BetterAuthIdentityProvider, sign
from adapters.database_url import CONNECT_SECONDS
from adapters.embedded_postgres import CannotStart
from domain.values import UserId
from entrypoints import first_run, settings
from entrypoints.settings import Settings, WrongSettings


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether one thing is well, and why it is said so. Never holds a secret."""

    subject: str
    well: bool
    words: str


def findings() -> Iterator[Finding]:
    """One for each thing that could be looked at: without settings there is nothing else to see."""
    try:
        configured = settings.load()
    except WrongSettings as wrong:
        yield from (Finding("settings", False, line) for line in str(wrong).splitlines())
        return
    try:
        with first_run.with_database(configured) as completed:
            yield Finding("settings", True, "complete" if configured.database_url else "none needed: a first run")
            yield from _database(completed)
            yield _identity(completed)
    except CannotStart as reason:
        yield Finding("database", False, str(reason))


def _database(completed: Settings) -> Iterator[Finding]:
    started = time.perf_counter()
    try:
        with psycopg.connect(completed.conninfo, connect_timeout=CONNECT_SECONDS) as connection:
            server = connection.info
            words = f"PostgreSQL {server.parameter_status('server_version')} at {server.host}"
        revision = schema.revision(completed.conninfo)
    except psycopg.OperationalError as failure:
        yield Finding("database", False, f"cannot be reached: {str(failure).strip().splitlines()[-1].strip()}")
        return
    yield Finding("database", True, f"{words}, answered in {(time.perf_counter() - started) * 1000:.0f} ms")
    if schema.needs_migration(revision):
        yield Finding("schema", False, f"at revision {revision or 'none'}: run `todo migrate`")
    else:
        yield Finding("schema", True, f"at revision {revision}")


def _identity(completed: Settings) -> Finding:
    """By a token of our own, accepted as any other would be."""
    identity = BetterAuthIdentityProvider(completed.secrets, completed.expected)
    tokens = [sign(UserId("doctor"), secret, completed.expected, seconds=60) for secret in completed.secrets]
    users = {asyncio.run(identity.identify(token)) for token in tokens}
    return Finding("identity", users == {"doctor"}, f"HS256 with {len(tokens)} shared secret(s)")
