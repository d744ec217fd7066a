"""dependency-injector does not check what it passes to constructors, so every provider is built and used here."""

from adapters.postgres.pool import Pool
from domain.task import Draft
from domain.values import Title, UserId
from entrypoints.container import Container
from entrypoints.settings import Settings
from tests.databases import url
from tests.http.conftest import SECRET, token


async def test_every_provider_can_be_built_and_used(database: str, pool: Pool) -> None:
    settings = Settings(_env_file=None, database_url=url(database), better_auth_secret=SECRET, database_connections=3)
    container = Container(settings=settings)
    assert set(container.providers) == {
        "settings",
        "now",
        "pool",
        "database",
        "ping",
        "tasks",
        "operator_pool",
        "operator_database",
        "user_records",
        "jwks",
        "jwks_of_others",
        "identity",
        "todo_list",
    }
    await container.ping()
    alice = await container.identity().identify(token("alice"))
    todo = container.todo_list(owner=UserId(alice))
    task = await todo.create(Draft(Title("Buy milk")))
    assert [page async for page in todo.list()] == [[task]]
    assert container.tasks() is todo.tasks
    assert container.pool().connections == 3
    await container.pool().close()
