"""`todo doctor`: checks settings, database, privileges and token verification."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from adapters.better_auth.http_client import InvalidEnvironment
from adapters.better_auth.identity import BetterAuthIdentityProvider, sign
from adapters.better_auth.jwks import JwksClient
from adapters.postgres import schema
from adapters.postgres.access import PRIVILEGES, Access
from adapters.postgres.inspection import UnsuitableDatabase
from domain.errors import IdentityUnavailable, NotAuthenticated, StorageUnavailable
from domain.values import UserId
from entrypoints import settings
from entrypoints.cli import zero_config
from entrypoints.cli.local_postgres import CannotStart
from entrypoints.settings import NO_PAGE, InvalidSettings, Settings


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. The message never contains a secret."""

    name: str
    ok: bool
    message: str


def run_checks() -> Iterator[Check]:
    """Yields each result as soon as it is known. Stops after invalid settings, because all other checks need them."""
    yield Check("version", True, f"todo {version('todo-backend')}")
    try:
        configured = settings.load()
    except InvalidSettings as failure:
        yield from (Check("settings", False, line) for line in str(failure).splitlines())
        return
    try:
        zero_config.require_database_or_join(configured)
    except zero_config.NoDatabase as failure:
        yield Check("settings", False, str(failure))
        return
    private = "" if configured.database_url else "; DATABASE_URL is not set: using the private PostgreSQL in .todo/"
    yield Check("settings", True, f"valid{private}")
    if chosen := [f"{name.upper()}={str(value).lower()}" for name, value in configured.frontend_settings.items()]:
        yield Check("frontends", True, f"other than documented by default: {', '.join(chosen)}")
    try:
        with zero_config.with_database(configured) as effective:
            yield from _database(configured, effective)
            yield from _identity(effective)
    except CannotStart as failure:
        yield Check("database", False, str(failure))


def _database(configured: Settings, effective: Settings) -> Iterator[Check]:
    check = "database"
    try:
        started = time.perf_counter()
        server = schema.server(effective.conninfo)
        milliseconds = (time.perf_counter() - started) * 1000
        yield Check(check, True, f"{server}, connected in {milliseconds:.0f} ms")
        check = "schema"
        revision = schema.revision(effective.conninfo)
        yield _schema(configured, revision)
        if not schema.needs_migration(revision):
            yield _access(effective)
            yield _writes(effective)
            if schema.is_distributed(effective.conninfo):
                yield from _cluster(effective)
    except StorageUnavailable as failure:
        yield Check(check, False, f"cannot connect: {failure}")
    except schema.NotPermitted as failure:
        yield Check(check, False, f"the role in DATABASE_URL lacks privileges: {failure}")
    except UnsuitableDatabase as failure:
        yield Check(check, False, f"cannot use the database: {failure}")


def _schema(configured: Settings, revision: str | None) -> Check:
    if not schema.needs_migration(revision):
        return Check("schema", True, f"at revision {revision}")
    if configured.database_url is None:
        return Check("schema", True, f"{_state(revision)}; `todo serve` will migrate it")
    return Check("schema", False, f"{_state(revision)}: run `todo migrate`")


def _access(effective: Settings) -> Check:
    """Whether a role reaches the tasks that should not, and statements are admitted as the settings say."""
    by_owner = schema.is_by_owner(effective.conninfo)
    if by_owner and not effective.database_row_security:
        return Check("access", False, f"row-level security {schema.ADMITS_BY_OWNER}")
    if effective.database_row_security and not by_owner:
        reason = "does not apply to this role" if by_owner is None else "admits all tasks"
        hint = "as the owner of the tables, run `todo migrate --serving-role` with the name of another role"
        return Check("access", False, f"DATABASE_ROW_SECURITY is set, but row-level security {reason}: {hint}")
    found = schema.survey(effective.conninfo)
    if not found.strangers:
        return Check("access", True, f"{_reached_by(found)}")
    strangers = "; ".join(f"{role} ({', '.join(privileges)})" for role, privileges in found.strangers.items())
    revoke = f"REVOKE ALL ON {', '.join(PRIVILEGES)} FROM {', '.join(found.strangers)}"
    return Check("access", False, f"other roles reach the tasks: {strangers}. Unless that is meant: {revoke}")


def _reached_by(found: Access) -> str:
    serving = f"the serving {_named('role', found.serving)}" if found.serving else ""
    administrators = _named("administrator", found.administrators) if found.administrators else ""
    others = " and ".join(filter(None, [serving, administrators]))
    return f"besides the owner of the tables, {others or 'nobody'} can reach the tasks"


def _named(kind: str, roles: Sequence[str]) -> str:
    return f"{kind}{'s' * (len(roles) > 1)} {', '.join(roles)}"


def _writes(effective: Settings) -> Check:
    obstacle = schema.obstacle_to_writes(effective.conninfo)
    return Check("writes", obstacle is None, obstacle or "tasks can be read and written")


def _cluster(effective: Settings) -> Iterator[Check]:
    nodes, scattered = schema.cluster(effective.conninfo)
    shards = [f"{node.shards} shards ({node.megabytes} MB) on {node.name}" for node in nodes if node.reachable]
    unreachable = [f"cannot reach {node.name}" for node in nodes if not node.reachable]
    yield Check("citus", not unreachable, ", ".join([*unreachable, *shards]))
    counts = [node.shards for node in nodes]
    if max(counts) - min(counts) > 1:
        yield Check("balance", False, "run SELECT citus_rebalance_start(); it moves shards while requests are served")
    if scattered:
        yield Check("routing", False, f"touch several shards: {', '.join(scattered)}; run `todo migrate`")
    else:
        yield Check("routing", True, "each statement touches one shard")


def _state(revision: str | None) -> str:
    return f"at revision {revision}" if revision else "not migrated"


def _identity(effective: Settings) -> Iterator[Check]:
    if effective.secrets:
        number = len(effective.secrets)
        yield Check("secret", _accepts_own_token(effective), f"{number} shared secret{'s' * (number > 1)} (HS256)")
    if effective.jwks_urls:
        yield asyncio.run(_jwks(effective.jwks_urls))
    for places in effective.other_issuers.values():
        yield asyncio.run(_jwks(places))
    if effective.admits_no_page:
        yield Check("cors", True, NO_PAGE)


def _accepts_own_token(effective: Settings) -> bool:
    """Whether a token signed with the current secret is accepted."""
    identity = BetterAuthIdentityProvider(effective.secrets, effective.expected_claims)
    token = sign(UserId("doctor"), effective.secrets[0], effective.expected_claims, seconds=60)
    try:
        return asyncio.run(identity.identify(token)) == "doctor"
    except NotAuthenticated:
        return False


async def _jwks(urls: Sequence[str]) -> Check:
    try:
        client = JwksClient(*urls)
    except InvalidEnvironment as failure:
        return Check("jwks", False, str(failure))
    started = time.perf_counter()
    try:
        algorithms = await client.algorithms()
    except IdentityUnavailable:
        where = f"{' or '.join(urls)} ({client.failure})"
        hint = "check the URL, and that Better Auth has the jwt plugin"
        return Check("jwks", False, f"no usable JWKS at {where}: {hint}")
    finally:
        await client.close()
    milliseconds = (time.perf_counter() - started) * 1000
    return Check("jwks", True, f"{', '.join(algorithms)} at {client.urls[0]}, fetched in {milliseconds:.0f} ms")
