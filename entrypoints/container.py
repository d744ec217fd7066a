"""Composition root: the only place that chooses the adapter of each port."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from dependency_injector.containers import DeclarativeContainer
from dependency_injector.providers import Dependency, Factory, Object, Singleton

from adapters.better_auth.identity import BetterAuthIdentityProvider
from adapters.better_auth.jwks import JwksClient
from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from adapters.postgres.user_records import OPERATOR_TIMEOUTS, PostgresUserRecords
from application.todo_list import TodoList
from entrypoints.settings import Settings


def _jwks_client(urls: Sequence[str]) -> JwksClient | None:
    return JwksClient(*urls) if urls else None


def _jwks_clients(urls: Mapping[str, Sequence[str]]) -> Mapping[str, JwksClient]:
    return {issuer: JwksClient(*places) for issuer, places in urls.items()}


class Container(DeclarativeContainer):
    """One per process. Tests override single providers."""

    settings = Dependency(instance_of=Settings)
    now = Object(partial(datetime.now, UTC))

    pool = Singleton(
        Pool,
        settings.provided.conninfo,
        connections=settings.provided.database_connections,
        prepare=settings.provided.database_prepared_statements,
        renew=settings.provided.renew_conninfo,
    )
    database = Singleton(
        Database,
        pool,
        row_security=settings.provided.database_row_security,
        sharded=settings.provided.database_citus,
    )
    ping = database.provided.ping.call()

    tasks = Singleton(
        PostgresTaskRepository,
        database,
        settings.provided.max_tasks_per_user,
        extras=settings.provided.keep_unknown_members,
        remembered=settings.provided.remembered_bytes,
    )

    # For commands of an operator: one connection of their own, and deadlines longer than those of requests.
    operator_pool = Singleton(
        Pool,
        settings.provided.conninfo,
        connections=1,
        prepare=False,
        timeouts=OPERATOR_TIMEOUTS,
        renew=settings.provided.renew_conninfo,
    )
    operator_database = Singleton(
        Database,
        operator_pool,
        batching=False,
        row_security=settings.provided.database_row_security,
        sharded=settings.provided.database_citus,
    )
    user_records = Singleton(PostgresUserRecords, operator_database)

    jwks = Singleton(_jwks_client, settings.provided.jwks_urls)
    jwks_of_others = Singleton(_jwks_clients, settings.provided.other_issuers)
    identity = Singleton(
        BetterAuthIdentityProvider,
        settings.provided.secrets,
        settings.provided.expected_claims,
        jwks,
        others=jwks_of_others,
    )
    todo_list = Factory(TodoList, tasks=tasks, now=now)
