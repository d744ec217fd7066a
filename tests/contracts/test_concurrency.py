"""Hundreds of concurrent calls of many owners: each has the outcome that it would have alone."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.in_memory import InMemoryTaskRepository
from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from application.ports import TaskRepository
from domain.errors import TaskNotFound
from domain.task import Draft, Task
from domain.values import TaskId, Title, UserId
from tests.contracts.task_repository import LATER, NOON, append

OWNERS = [UserId(f"{name}{number}") for name in ("alice", "Alice", "alice ", "bob", "b_b") for number in range(8)]

EXAMPLES = count()  # the database keeps the tasks of earlier examples, so each has owners of its own

Call = Callable[[TaskRepository, TaskId], Awaitable[object]]


async def outcome(call: Awaitable[object]) -> object:
    try:
        result = await call
    except TaskNotFound as failure:
        return type(failure)
    return (result.user_id, result.title, result.completed, result.updated_at) if isinstance(result, Task) else result


def some_call(owner: UserId, stranger: UserId, chance: random.Random) -> Call:
    calls: list[Call] = [
        lambda tasks, id_: tasks.get(owner, id_),
        lambda tasks, id_: tasks.update(owner, id_, lambda task: append("!", task)),
        lambda tasks, id_: tasks.update(owner, id_, lambda task: task.toggle(LATER)),
        lambda tasks, id_: tasks.remove(owner, id_),
        lambda tasks, id_: tasks.get(stranger, id_),
        lambda tasks, id_: tasks.update(stranger, id_, lambda task: append("?", task)),
        lambda tasks, id_: tasks.remove(stranger, id_),
        lambda tasks, _: tasks.add(owner, Draft(Title("another")), NOON),
    ]
    return chance.choice(calls)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_concurrent_calls_have_the_same_outcomes_as_in_memory(pool: Pool, batching: bool, seed: int) -> None:
    chance = random.Random(seed)
    memory, postgres = InMemoryTaskRepository(), PostgresTaskRepository(Database(pool, batching=batching))
    example = next(EXAMPLES)
    owners = [UserId(f"{owner}-{example}") for owner in OWNERS]
    owner_of_each = [owner for owner in owners for _ in range(10)]
    chance.shuffle(owner_of_each)
    drafts = [Draft(Title(f"task {number}")) for number in range(len(owner_of_each))]
    in_memory = [await memory.add(owner, draft, NOON) for owner, draft in zip(owner_of_each, drafts, strict=True)]
    in_postgres = await asyncio.gather(
        *(postgres.add(owner, draft, NOON) for owner, draft in zip(owner_of_each, drafts, strict=True))
    )
    assert [(task.user_id, task.title) for task in in_memory] == [(task.user_id, task.title) for task in in_postgres]

    calls = [some_call(owner, chance.choice(sorted({*owners} - {owner})), chance) for owner in owner_of_each]
    expected = [await outcome(call(memory, task.id)) for call, task in zip(calls, in_memory, strict=True)]
    actual = (outcome(call(postgres, task.id)) for call, task in zip(calls, in_postgres, strict=True))
    assert await asyncio.gather(*actual) == expected

    pages = await asyncio.gather(*(postgres.page(owner, limit=100) for owner in owners))
    for owner, page in zip(owners, pages, strict=True):
        assert {task.user_id for task in page} <= {owner}
        assert sorted((task.title, task.completed) for task in page) == sorted(
            (task.title, task.completed) for task in await memory.page(owner, limit=100)
        )
