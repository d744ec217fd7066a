"""Hundreds of calls of many owners at once: each is answered as if it had been alone."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.in_memory import InMemoryTaskRepository
from adapters.postgres.pool import Pool
from adapters.postgres.repository import SqlModelTaskRepository
from application.ports import TaskRepository
from domain.errors import TaskNotFound
from domain.task import Draft, Task
from domain.values import TaskId, Title, UserId
from tests.contracts.task_repository import LATER, NOON, append

OWNERS = [UserId(f"{name}{number}") for name in ("alice", "Alice", "alice ", "bob", "b_b") for number in range(8)]

Call = Callable[[TaskRepository, TaskId], Awaitable[object]]


async def outcome(call: Awaitable[object]) -> object:
    try:
        answer = await call
    except TaskNotFound as failure:
        return type(failure)
    return (answer.user_id, answer.title, answer.completed, answer.updated_at) if isinstance(answer, Task) else answer


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


@given(chance=st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_calls_together_are_answered_as_in_memory(pool: Pool, chance: random.Random) -> None:
    memory, postgresql = InMemoryTaskRepository(), SqlModelTaskRepository(pool)
    owners = [UserId(f"{owner}-{chance.getrandbits(60)}") for owner in OWNERS]
    whose = [owner for owner in owners for _ in range(10)]
    chance.shuffle(whose)
    drafts = [Draft(Title(f"task {number}")) for number in range(len(whose))]
    here = [await memory.add(owner, draft, NOON) for owner, draft in zip(whose, drafts, strict=True)]
    there = await asyncio.gather(
        *(postgresql.add(owner, draft, NOON) for owner, draft in zip(whose, drafts, strict=True))
    )
    assert [(task.user_id, task.title) for task in here] == [(task.user_id, task.title) for task in there]

    calls = [some_call(owner, chance.choice(sorted({*owners} - {owner})), chance) for owner in whose]
    expected = [await outcome(call(memory, task.id)) for call, task in zip(calls, here, strict=True)]
    together = (outcome(call(postgresql, task.id)) for call, task in zip(calls, there, strict=True))
    assert await asyncio.gather(*together) == expected

    pages = await asyncio.gather(*(postgresql.page(owner, limit=100) for owner in owners))
    for owner, page in zip(owners, pages, strict=True):
        assert {task.user_id for task in page} <= {owner}
        assert sorted((task.title, task.completed) for task in page) == sorted(
            (task.title, task.completed) for task in await memory.page(owner, limit=100)
        )
