"""Composition root: the only place that chooses the adapter of each port."""

from datetime import UTC, datetime
from functools import partial

from dependency_injector.containers import DeclarativeContainer
from dependency_injector.providers import Dependency, Factory, Object, Singleton

from adapters.better_auth.identity import BetterAuthIdentityProvider
from adapters.better_auth.jwks import JwksClient
from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from application.todo_list import TodoList
from entrypoints.settings import Settings


def _jwks_client(url: str | None) -> JwksClient | None:
    return None if url is None else JwksClient(url)


class Container(DeclarativeContainer):
    """One per process. Tests override single providers."""

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
    jwks = Singleton(_jwks_client, settings.provided.jwks_url)
    identity = Singleton(BetterAuthIdentityProvider, settings.provided.secrets, settings.provided.expected_claims, jwks)
    todo_list = Factory(TodoList, tasks=tasks, now=now)
