"""The composition root: the only place that knows which adapter stands behind which port."""

from datetime import UTC, datetime
from functools import partial

from dependency_injector.containers import DeclarativeContainer
from dependency_injector.providers import Callable, Dependency, Factory, Object, Singleton

from adapters.better_auth import BetterAuthIdentityProvider
from adapters.postgres import open_pool, ping
from adapters.sqlmodel_tasks import SqlModelTaskRepository
from application.todo_list import TodoList
from entrypoints.settings import Settings


class Container(DeclarativeContainer):
    """One for each process. Tests override single providers."""

    settings = Dependency(instance_of=Settings)
    now = Object(partial(datetime.now, UTC))

    pool = Singleton(
        open_pool,
        settings.provided.conninfo,
        connections=settings.provided.database_connections,
        prepare=settings.provided.database_prepared_statements,
    )
    ping = Callable(ping, pool)

    tasks = Singleton(SqlModelTaskRepository, pool)
    identity = Singleton(BetterAuthIdentityProvider, settings.provided.secrets, settings.provided.expected)
    todo_list = Factory(TodoList, tasks=tasks, now=now)
