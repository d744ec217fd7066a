"""Both repositories side by side: the same calls have the same outcomes."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from adapters.in_memory import InMemoryTaskRepository
from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from application.ports import TaskRepository
from domain.errors import DomainError, InvalidValue
from domain.listing import Position, Selection
from domain.task import Changes, Draft, Task
from domain.values import Description, IdempotencyKey, TaskId, Title, UserId
from tests.strategies import any_text, changes, drafts, keys, owners, selections, times

Both = tuple[TaskId, TaskId]
"""The ids of one task in the two repositories."""

UNUSED: Both = (TaskId(TaskId.LARGEST), TaskId(TaskId.LARGEST))


def outcome(task: Task) -> tuple[object, ...]:
    """A task without its id."""
    return (task.user_id, task.title, task.description, task.completed, task.extras, task.created_at, task.updated_at)


class BothRepositories(RuleBasedStateMachine):
    conninfo: str
    batching: bool
    sharded = False
    stored = Bundle("stored")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.memory = InMemoryTaskRepository()
        self.pool = Pool(self.conninfo, connections=2, prepare=None)
        database = Database(self.pool, batching=self.batching, sharded=self.sharded)
        self.postgres = self.observer = PostgresTaskRepository(database, extras=True)
        self.owners: set[UserId] = set()
        self.at = datetime.min.replace(tzinfo=UTC)

    @initialize()
    def empty(self) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute("TRUNCATE tasks, task_creations")

    def teardown(self) -> None:
        self.loop.run(self.pool.close())
        self.loop.close()

    def agreed(self, call: Callable[[TaskRepository, int], Awaitable[Task | None]]) -> list[Task | None]:
        """The task in both repositories, after comparing the outcomes; empty if there is none."""

        async def outcome_in(repository: TaskRepository, which: int) -> Task | type[DomainError] | None:
            try:
                return await call(repository, which)
            except DomainError as failure:
                return type(failure)

        first = self.loop.run(outcome_in(self.memory, 0))
        second = self.loop.run(outcome_in(self.postgres, 1))
        if isinstance(first, Task) and isinstance(second, Task):
            assert outcome(first) == outcome(second)
            return [first, second]
        assert first == second
        return []

    @rule(target=stored, owner=owners, title=any_text, description=st.none() | any_text, done=st.booleans(), at=times)
    def add(self, owner: UserId, title: str, description: str | None, done: bool, at: datetime) -> object:
        try:
            draft = Draft(Title(title), None if description is None else Description(description), done)
        except InvalidValue:
            return multiple()
        self.owners.add(owner)
        tasks = self.agreed(lambda repository, _: repository.add(owner, draft, at))
        return tuple(task.id for task in tasks if task)

    @rule(target=stored, owner=owners, draft=drafts, key=keys, at=times)
    def add_once(self, owner: UserId, draft: Draft, key: IdempotencyKey, at: datetime) -> object:
        self.owners.add(owner)
        self.at = max(self.at, at)
        tasks = self.agreed(lambda repository, _: repository.add(owner, draft, self.at, key))
        return tuple(task.id for task in tasks if task) or UNUSED

    @rule(owner=owners, ids=stored | st.just(UNUSED), others=st.lists(times))
    def remove_expected_versions(self, owner: UserId, ids: Both, others: list[datetime]) -> None:
        task = self.memory._tasks.get((owner, ids[0]))
        expected = [*others, task.updated_at] if task and len(others) % 2 else others
        self.agreed(lambda repository, which: repository.remove(owner, ids[which], expected))

    @rule(owner=owners, selection=selections, limit=st.integers(1, 5))
    def pages_agree(self, owner: UserId, selection: Selection, limit: int) -> None:
        after: list[Position | None] = [None, None]
        while True:
            first = self.loop.run(self.memory.page(owner, selection, after=after[0], limit=limit))
            second = self.loop.run(self.postgres.page(owner, selection, after=after[1], limit=limit))
            assert [*map(outcome, first)] == [*map(outcome, second)]
            for repository, tasks, position in ((self.memory, first, after[0]), (self.postgres, second, after[1])):
                ids, last = self.loop.run(repository.ids(owner, selection, after=position, limit=limit))
                assert [*ids] == [task.id for task in tasks]
                assert last == (selection.position(tasks[-1]) if tasks else None)
                assert self.loop.run(repository.by_ids(owner, [*ids[::-1], UNUSED[0]])) == [*tasks[::-1]]
                assert self.loop.run(repository.by_ids(UserId(owner + "?"), ids)) == []
            if not first:
                return
            after = [selection.position(first[-1]), selection.position(second[-1])]

    @rule(owner=owners, ids=stored | st.just(UNUSED))
    def get(self, owner: UserId, ids: Both) -> None:
        self.agreed(lambda repository, which: repository.get(owner, ids[which]))

    @rule(owner=owners, ids=stored | st.just(UNUSED), sent=changes, at=times)
    def edit(self, owner: UserId, ids: Both, sent: Changes, at: datetime) -> None:
        self.agreed(lambda repository, which: repository.update(owner, ids[which], lambda task: task.edit(sent, at)))

    @rule(owner=owners, ids=stored, at=times)
    def toggle(self, owner: UserId, ids: Both, at: datetime) -> None:
        self.agreed(lambda repository, which: repository.update(owner, ids[which], lambda task: task.toggle(at)))

    @rule(owner=owners, ids=stored | st.just(UNUSED))
    def remove(self, owner: UserId, ids: Both) -> None:
        self.agreed(lambda repository, which: repository.remove(owner, ids[which]))

    @rule(owner=owners, last=stored, limit=st.integers(1, 5))
    def remove_oldest(self, owner: UserId, last: Both, limit: int) -> None:
        first = self.loop.run(self.memory.remove_oldest(owner, up_to=last[0], limit=limit))
        second = self.loop.run(self.postgres.remove_oldest(owner, up_to=last[1], limit=limit))
        assert first == second

    @rule(owner=owners, changed=st.booleans(), data=st.data())
    def remove_all(self, owner: UserId, changed: bool, data: st.DataObject) -> None:
        expected = [[*self.loop.run(repository.page(owner, limit=100))] for repository in (self.memory, self.postgres)]
        if not expected[0]:
            return
        if changed:
            at = data.draw(st.integers(0, len(expected[0]) - 1))
            for tasks in expected:
                tasks[at] = tasks[at].toggle(tasks[at].updated_at)
        self.agreed(lambda repository, which: repository.remove_all(owner, expected[which]))

    @invariant()
    def lists_agree(self) -> None:
        assert self.loop.run(self._lists(self.memory)) == self.loop.run(self._lists(self.observer))

    async def _lists(self, repository: TaskRepository) -> dict[object, list[tuple[object, ...]]]:
        lists = [(owner, Selection(completed)) for owner in self.owners for completed in (None, True, False)]
        pages = await asyncio.gather(*(repository.page(*list_, limit=100) for list_ in lists))
        return {list_: [*map(outcome, page)] for list_, page in zip(lists, pages, strict=True)}


def agree(machine: type[BothRepositories], conninfo: str, *, batching: bool, examples: int) -> None:
    """Runs the machine on the database."""
    machine.conninfo, machine.batching = conninfo, batching
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_postgres_and_memory_agree(database: str, batching: bool) -> None:
    agree(BothRepositories, database, batching=batching, examples=25)
