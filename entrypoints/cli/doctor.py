"""`todo doctor`: what an operator would look at first, each in a line."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from adapters.better_auth.identity import BetterAuthIdentityProvider, sign
from adapters.better_auth.jwks import PublishedKeys
from adapters.postgres import schema
from domain.errors import IdentityUnavailable, NotAuthenticated, StorageUnavailable
from domain.values import UserId
from entrypoints import settings
from entrypoints.cli import zero_config as first_run
from entrypoints.cli.local_postgres import CannotStart
from entrypoints.settings import Settings, WrongSettings


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether one thing is well, and why it is said so. Never holds a secret."""

    subject: str
    well: bool
    words: str


def findings() -> Iterator[Finding]:
    """One for each thing that can be looked at: without settings there is nothing else to see."""
    try:
        configured = settings.load()
    except WrongSettings as wrong:
        yield from (Finding("settings", False, line) for line in str(wrong).splitlines())
        return
    where = "complete" if configured.database_url else "no DATABASE_URL, so a private PostgreSQL in .todo/"
    yield Finding("settings", True, where)
    try:
        with first_run.with_database(configured) as settled:
            yield from _database(configured, settled)
            yield from _identity(settled)
    except CannotStart as reason:
        yield Finding("database", False, str(reason))


def _database(configured: Settings, settled: Settings) -> Iterator[Finding]:
    try:
        started = time.perf_counter()
        server = schema.server(settled.conninfo)
        milliseconds = (time.perf_counter() - started) * 1000
        revision = schema.revision(settled.conninfo)
    except StorageUnavailable as failure:
        yield Finding("database", False, f"cannot be reached: {failure}")
        return
    except schema.NotPermitted as failure:
        yield Finding("database", False, f"the role in DATABASE_URL has too few rights: {failure}")
        return
    yield Finding("database", True, f"{server}, answered in {milliseconds:.0f} ms")
    if not schema.needs_migration(revision):
        yield Finding("schema", True, f"at revision {revision}")
    elif configured.database_url is None:
        yield Finding("schema", True, "`todo serve` will migrate it")
    else:
        yield Finding("schema", False, f"at revision {revision or 'none'}: run `todo migrate`")


def _identity(settled: Settings) -> Iterator[Finding]:
    if settled.secrets:
        yield Finding("secret", _accepts_its_own(settled), f"HS256 with {len(settled.secrets)} shared secret(s)")
    if settled.jwks_url:
        yield asyncio.run(_published(settled.jwks_url))


def _accepts_its_own(settled: Settings) -> bool:
    """Whether a token signed here is accepted, as any other would be."""
    identity = BetterAuthIdentityProvider(settled.secrets, settled.expected)
    token = sign(UserId("doctor"), settled.secrets[0], settled.expected, seconds=60)
    try:
        return asyncio.run(identity.identify(token)) == "doctor"
    except NotAuthenticated:
        return False


async def _published(url: str) -> Finding:
    keys = PublishedKeys(url)
    started = time.perf_counter()
    try:
        algorithms = await keys.algorithms()
    except IdentityUnavailable:
        return Finding("keys", False, f"no usable keys at {url}: is the jwt plugin on, and the address right?")
    finally:
        await keys.close()
    milliseconds = (time.perf_counter() - started) * 1000
    return Finding("keys", True, f"{', '.join(algorithms)} at {url}, answered in {milliseconds:.0f} ms")
