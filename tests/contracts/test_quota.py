"""The quota of tasks per owner, in both repositories."""

import asyncio
from datetime import timedelta

import pytest

from adapters.in_memory import InMemoryTaskRepository
from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from application.ports import TaskRepository
from domain.errors import QuotaExceeded
from domain.task import Task
from domain.values import IdempotencyKey
from tests.contracts.task_repository import ALICE, BOB, KEY, MILK, NOON

QUOTA = 3


@pytest.fixture(params=["memory", "postgres"])
def tasks(request: pytest.FixtureRequest, pool: Pool) -> TaskRepository:
    return InMemoryTaskRepository(QUOTA) if request.param == "memory" else PostgresTaskRepository(Database(pool), QUOTA)


async def test_concurrent_additions_stop_at_the_quota_of_their_owner(tasks: TaskRepository) -> None:
    adding = (tasks.add(owner, MILK, NOON) for owner in (ALICE, BOB) for _ in range(6))
    added = await asyncio.gather(*adding, return_exceptions=True)
    assert [type(task) for task in added] == ([Task] * 3 + [QuotaExceeded] * 3) * 2
    assert len(await tasks.page(ALICE, limit=9)) == QUOTA


async def test_a_removal_makes_room(tasks: TaskRepository) -> None:
    first, *_ = [await tasks.add(ALICE, MILK, NOON) for _ in range(QUOTA)]
    await tasks.remove(ALICE, first.id)
    await tasks.add(ALICE, MILK, NOON)
    with pytest.raises(QuotaExceeded):
        await tasks.add(ALICE, MILK, NOON)


async def test_a_retry_with_its_key_finds_its_task_at_the_quota(tasks: TaskRepository) -> None:
    first = await tasks.add(ALICE, MILK, NOON, KEY)
    for _ in range(QUOTA - 1):
        await tasks.add(ALICE, MILK, NOON)
    assert await tasks.add(ALICE, MILK, NOON, KEY) == first
    with pytest.raises(QuotaExceeded):
        await tasks.add(ALICE, MILK, NOON, IdempotencyKey("another"))
    with pytest.raises(QuotaExceeded):
        await tasks.add(ALICE, MILK, NOON + IdempotencyKey.LIFETIME, KEY)
    assert await tasks.add(ALICE, MILK, NOON + IdempotencyKey.LIFETIME - timedelta(seconds=1), KEY) == first
