"""The composition root: the only place that knows which adapter stands behind which port."""

from datetime import UTC, datetime
from functools import partial

from dependency_injector.containers import DeclarativeContainer
from dependency_injector.providers import Dependency, Factory, Object, Singleton

from adapters.better_auth.identity import BetterAuthIdentityProvider
from adapters.better_auth.jwks import PublishedKeys
from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from application.todo_list import TodoList
from entrypoints.settings import Settings


def _published_keys(url: str | None) -> PublishedKeys | None:
    return None if url is None else PublishedKeys(url)


class Container(DeclarativeContainer):
    """One for each process. Tests override single providers."""

    settings = Dependency(instance_of=Settings)
    now = Object(partial(datetime.now, UTC))

    pool = Singleton(
        Pool,
        settings.provided.conninfo,
        connections=settings.provided.database_connections,
        prepare=settings.provided.database_prepared_statements,
    )
    database = Singleton(Database, pool)
    ping = database.provided.ping.call()

    tasks = Singleton(PostgresTaskRepository, database)
    published = Singleton(_published_keys, settings.provided.jwks_url)
    identity = Singleton(BetterAuthIdentityProvider, settings.provided.secrets, settings.provided.expected, published)
    todo_list = Factory(TodoList, tasks=tasks, now=now)
