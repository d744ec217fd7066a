import pytest

from adapters.in_memory import InMemoryIdentityProvider, InMemoryTaskRepository
from domain.errors import NotAuthenticated
from domain.values import UserId
from tests.contracts.task_repository import TaskRepositoryContract


class TestInMemoryTaskRepository(TaskRepositoryContract):
    @pytest.fixture
    def tasks(self) -> InMemoryTaskRepository:
        return InMemoryTaskRepository()


async def test_the_identity_provider_accepts_exactly_its_tokens() -> None:
    identity = InMemoryIdentityProvider({"token of alice": UserId("alice")})
    assert await identity.identify("token of alice") == "alice"
    with pytest.raises(NotAuthenticated):
        await identity.identify("token of bob")
