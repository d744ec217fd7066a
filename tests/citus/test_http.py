"""Both HTTP contracts on a real Citus cluster: the tests of the contracts, with another repository."""

from collections.abc import Iterator

import pytest
from dependency_injector.providers import Object

from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from entrypoints.container import Container
from tests.http.conftest import alice, anonymous, bob, contract, shared  # noqa: F401  (fixtures)
from tests.http.test_contracts import *  # noqa: F403
from tests.http.test_idempotency import *  # noqa: F403
from tests.http.test_ownership import *  # noqa: F403
from tests.http.test_pagination import *  # noqa: F403
from tests.http.test_tasks import *  # noqa: F403
from tests.http.test_user_tasks import *  # noqa: F403


@pytest.fixture
def wiring(cluster_pool: Pool) -> Iterator[Container]:
    with shared() as wiring:
        wiring.tasks.override(Object(PostgresTaskRepository(Database(cluster_pool, sharded=True))))
        yield wiring
