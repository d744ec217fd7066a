"""Remembered states change how many statements a change takes, and nothing else."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.remembered_states import MAX_BYTES_PER_OWNER, OWNER_OVERHEAD, RememberedStates, _encoded
from adapters.postgres.repository import PostgresTaskRepository, _task_with_extras
from domain.errors import InvalidValue, TaskChanged, TaskNotFound
from domain.extras import Extras
from domain.task import Changes, Draft, Task
from domain.values import Description, TaskId, Title, UserId
from tests import strategies
from tests.contracts.task_repository import ALICE, BOB, KEY, LATER, MILK, NOON, TaskRepositoryContract
from tests.contracts.test_equivalence import Both, BothRepositories, agree
from tests.contracts.watched_pool import WatchedPool
from tests.strategies import changes, times, titles

PLENTY = 2**20
LITTLE = 2 * (OWNER_OVERHEAD + 300)  # bytes, for one small task


@pytest.fixture
async def watched(pool: Pool, database: str) -> AsyncIterator[WatchedPool]:
    watched = WatchedPool(database, connections=8, prepare=None)
    yield watched
    await watched.close()


@pytest.fixture
def tasks(watched: WatchedPool, batching: bool) -> PostgresTaskRepository:
    return PostgresTaskRepository(Database(watched, batching=batching), extras=True, remembered=PLENTY)


@pytest.fixture
def elsewhere(pool: Pool) -> PostgresTaskRepository:
    """Another process."""
    return PostgresTaskRepository(Database(pool), extras=True, remembered=PLENTY)


async def remembered(tasks: PostgresTaskRepository, draft: Draft) -> Task:
    """A new task of Alice's whose state the repository remembers."""
    task = await tasks.add(ALICE, draft, NOON)
    return await tasks.get(ALICE, task.id)


class TestRemembering(TaskRepositoryContract):
    """Runs on the fixture above."""


class TestRememberingLittle(TaskRepositoryContract):
    @pytest.fixture
    def tasks(self, pool: Pool) -> PostgresTaskRepository:
        return PostgresTaskRepository(Database(pool), extras=True, remembered=LITTLE)


class Processes(BothRepositories):
    """Some processes that remember, on a database that is also restored, and written by others."""

    def __init__(self) -> None:
        super().__init__()
        self.processes = [
            PostgresTaskRepository(Database(self.pool, batching=self.batching), extras=True, remembered=remembered)
            for remembered in (PLENTY, PLENTY, LITTLE, 0)
        ]
        self.postgres = self.processes[0]

    @initialize()
    def empty(self) -> None:
        super().empty()
        self.backup()

    add_once = None  # type: ignore[assignment]  # uses up an ID of PostgreSQL alone, and a restore would mix up the pairs

    @rule(number=st.integers(0, 3))
    def continue_in_another_process(self, number: int) -> None:
        self.postgres = self.processes[number]

    @rule()
    def backup(self) -> None:
        self.backup_of_memory = dict(self.memory._tasks), copy.copy(self.memory._ids)
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS backup; CREATE TABLE backup AS TABLE tasks")
            [self.next_id] = connection.execute("SELECT nextval('tasks_id_seq')").fetchall()[0]
            connection.execute("SELECT setval('tasks_id_seq', %s, false)", [self.next_id])

    @rule()
    def restore(self) -> None:
        """IDs and versions that were given since will be given again, to other tasks and states."""
        tasks, ids = self.backup_of_memory
        self.memory._tasks, self.memory._ids = dict(tasks), copy.copy(ids)
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute("DELETE FROM tasks")
            connection.execute("INSERT INTO tasks OVERRIDING SYSTEM VALUE TABLE backup")
            connection.execute("SELECT setval('tasks_id_seq', %s, false)", [self.next_id])

    def owner_of(self, ids: Both) -> UserId:
        """Anybody, if there is no such task."""
        return next((owner for owner, id_ in self.memory._tasks if id_ == ids[0]), ALICE)

    @rule(ids=BothRepositories.stored, title=titles, completed=st.booleans())
    def write_without_the_api(self, ids: Both, title: Title, completed: bool) -> None:
        key = self.owner_of(ids), ids[0]
        if key in self.memory._tasks:
            self.memory._tasks[key] = self.memory._tasks[key]._replace(title=title, completed=completed)
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute("UPDATE tasks SET title = %s, completed = %s WHERE id = %s", [title, completed, ids[1]])

    @rule(ids=BothRepositories.stored)
    def read_as_the_owner(self, ids: Both) -> None:
        self.get(self.owner_of(ids), ids)

    @rule(ids=BothRepositories.stored, sent=changes, at=times)
    def edit_as_the_owner(self, ids: Both, sent: Changes, at: datetime) -> None:
        self.edit(self.owner_of(ids), ids, sent, at)

    @rule(ids=BothRepositories.stored, at=times)
    def complete_as_the_owner(self, ids: Both, at: datetime) -> None:
        owner = self.owner_of(ids)
        self.agreed(lambda repository, which: repository.update(owner, ids[which], lambda task: task.complete(at)))

    @rule(ids=BothRepositories.stored, at=times)
    def toggle_as_the_owner_if_unchanged(self, ids: Both, at: datetime) -> None:
        owner = self.owner_of(ids)
        task = self.memory._tasks.get((owner, ids[0]))
        expected = [task.updated_at] if task else []

        def change(task: Task) -> Task:
            return task.matching(expected).toggle(at)

        self.agreed(lambda repository, which: repository.update(owner, ids[which], change))

    @rule(ids=BothRepositories.stored)
    def remove_as_the_owner(self, ids: Both) -> None:
        self.remove(self.owner_of(ids), ids)


def test_it_cannot_be_told_whether_states_are_remembered(database: str, batching: bool) -> None:
    agree(Processes, database, batching=batching, examples=60)


async def test_a_change_of_a_task_that_was_read_or_written_is_one_statement(
    tasks: PostgresTaskRepository, elsewhere: PostgresTaskRepository, watched: WatchedPool
) -> None:
    def toggle(task: Task) -> Task:
        return task.toggle(LATER)

    changed, gotten, listed, unseen = [await elsewhere.add(ALICE, MILK, NOON) for _ in range(4)]
    for statements in (["GET", "SAVE"], ["SAVE"]):
        await tasks.update(ALICE, changed.id, toggle)
        assert watched.take() == statements
    await tasks.get(ALICE, gotten.id)
    await tasks.update(ALICE, changed.id, toggle)
    await tasks.page(ALICE, limit=3)
    created = await tasks.add(ALICE, MILK, NOON)
    keyed = await tasks.add(ALICE, MILK, NOON, KEY)
    await tasks.by_ids(ALICE, [created.id, keyed.id])
    watched.take()
    for task in (gotten, listed, created, keyed):
        await tasks.update(ALICE, task.id, toggle)
        assert watched.take() == ["SAVE"]
    await tasks.update(ALICE, unseen.id, toggle)
    assert watched.take() == ["GET", "SAVE"]
    for task in (changed, gotten, listed, created, keyed, unseen):
        assert (await elsewhere.get(ALICE, task.id)).completed


async def test_a_stale_state_costs_one_statement_more_and_is_replaced(
    tasks: PostgresTaskRepository, elsewhere: PostgresTaskRepository, watched: WatchedPool
) -> None:
    task = await remembered(tasks, MILK)
    await elsewhere.update(ALICE, task.id, lambda task: task.edit({"title": Title("Buy tea")}, LATER))
    watched.take()
    changed = await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))
    assert watched.take() == ["SAVE", "GET", "SAVE"]
    assert (changed.title, changed.completed) == ("Buy tea", True)
    assert await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER)) == await elsewhere.get(ALICE, task.id)
    assert watched.take() == ["SAVE"]


async def test_a_read_is_never_answered_from_memory(
    tasks: PostgresTaskRepository, elsewhere: PostgresTaskRepository
) -> None:
    task = await remembered(tasks, MILK)
    changed = await elsewhere.update(ALICE, task.id, lambda task: task.toggle(LATER))
    assert await tasks.get(ALICE, task.id) == changed
    assert await tasks.page(ALICE, limit=9) == [changed]
    await elsewhere.remove(ALICE, task.id)
    with pytest.raises(TaskNotFound):
        await tasks.get(ALICE, task.id)


async def test_a_change_without_effect_on_the_remembered_state_is_decided_by_the_stored_one(
    tasks: PostgresTaskRepository, elsewhere: PostgresTaskRepository
) -> None:
    task = await remembered(tasks, Draft(MILK.title, completed=True))
    await elsewhere.update(ALICE, task.id, lambda task: task.toggle(NOON))
    completed = await tasks.update(ALICE, task.id, lambda task: task.complete(LATER))
    assert (completed.completed, completed.updated_at) == (True, LATER)
    assert await elsewhere.get(ALICE, task.id) == completed


@pytest.mark.parametrize("matches", ["remembered", "stored"])
async def test_a_precondition_is_decided_by_the_stored_state(
    tasks: PostgresTaskRepository, elsewhere: PostgresTaskRepository, matches: str
) -> None:
    known = await remembered(tasks, MILK)
    stored = await elsewhere.update(ALICE, known.id, lambda task: task.toggle(LATER))
    expected = [known.updated_at if matches == "remembered" else stored.updated_at]

    def change(task: Task) -> Task:
        return task.matching(expected).toggle(LATER)

    if matches == "stored":
        assert not (await tasks.update(ALICE, known.id, change)).completed
    else:
        with pytest.raises(TaskChanged):
            await tasks.update(ALICE, known.id, change)
        assert await elsewhere.get(ALICE, known.id) == stored


async def test_a_refusal_is_decided_by_the_stored_state(
    tasks: PostgresTaskRepository, elsewhere: PostgresTaskRepository
) -> None:
    full = Extras({str(number): number for number in range(Extras.MOST)})
    task = await remembered(tasks, Draft(MILK.title, extras=full))
    more = Changes(extras={"one": "more"})
    with pytest.raises(InvalidValue):
        await tasks.update(ALICE, task.id, lambda task: task.edit(more, LATER))
    await elsewhere.update(ALICE, task.id, lambda task: task.edit({"extras": dict.fromkeys("0123")}, LATER))
    changed = await tasks.update(ALICE, task.id, lambda task: task.edit(more, LATER))
    assert changed.extras is not None
    assert '"one":"more"' in changed.extras


async def test_a_task_is_missing_only_where_none_is_stored(
    tasks: PostgresTaskRepository, elsewhere: PostgresTaskRepository, watched: WatchedPool
) -> None:
    task = await remembered(tasks, MILK)
    await elsewhere.remove(ALICE, task.id)
    for statements in (["SAVE", "GET"], ["GET"]):
        watched.take()
        with pytest.raises(TaskNotFound):
            await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))
        assert watched.take() == statements


async def test_a_task_that_was_removed_here_is_forgotten(tasks: PostgresTaskRepository, watched: WatchedPool) -> None:
    task = await remembered(tasks, MILK)
    await tasks.remove(ALICE, task.id)
    watched.take()
    with pytest.raises(TaskNotFound):
        await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))
    assert watched.take() == ["GET"]


@pytest.mark.parametrize(
    "change",
    [
        "title = 'Buy tea'",
        "description = NULL",
        "completed = true",
        "created_at = created_at - interval '1 day'",
        "updated_at = updated_at - interval '1 microsecond'",
        """extras = '{"a": 2}'""",
        "extras = NULL",
    ],
)
async def test_a_state_with_a_difference_in_any_field_is_not_overwritten(
    tasks: PostgresTaskRepository, elsewhere: PostgresTaskRepository, admin: psycopg.Connection, change: str
) -> None:
    """Not even where the version is the same: after a restore, or a change without the API."""
    task = await remembered(tasks, Draft(MILK.title, MILK.description, extras=Extras({"a": 1})))
    admin.execute(f"UPDATE tasks SET {change} WHERE id = %s", [task.id])
    stored = await elsewhere.get(ALICE, task.id)
    changed = await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))
    assert changed == stored._replace(completed=not stored.completed, updated_at=LATER)
    assert await elsewhere.get(ALICE, task.id) == changed


async def test_a_task_that_another_transaction_has_locked_is_changed_after_it(
    tasks: PostgresTaskRepository, watched: WatchedPool, database: str
) -> None:
    task = await remembered(tasks, MILK)
    watched.take()
    async with await psycopg.AsyncConnection.connect(database) as other:
        await other.execute("UPDATE tasks SET title = 'Buy tea' WHERE id = %s", [task.id])
        changing = asyncio.create_task(tasks.update(ALICE, task.id, lambda task: task.toggle(LATER)))
        while watched.sent.count("GET") < 2:
            await other.execute("SELECT")
        await other.commit()
    changed = await changing
    assert (changed.title, changed.completed) == ("Buy tea", True)


async def test_extras_in_a_spelling_that_was_not_written_here_can_be_changed(
    tasks: PostgresTaskRepository, admin: psycopg.Connection
) -> None:
    """PostgreSQL keeps more digits than a double has."""
    task = await remembered(tasks, Draft(MILK.title, extras=Extras({"a": 1})))
    admin.execute("""UPDATE tasks SET extras = '{"a": 0.33333333333333333333}' WHERE id = %s""", [task.id])
    for completed in (True, False):
        changed = await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))
        assert (changed.completed, changed.extras) == (completed, '{"a":0.3333333333333333}')


def task(number: int, owner: UserId = ALICE, description: str | None = None, version: int = 0) -> Task:
    described = None if description is None else Description(description)
    at = NOON + timedelta(seconds=version)
    return Task(TaskId(number), owner, Title("x"), described, False, NOON, at)


def states_of(most: int = PLENTY) -> RememberedStates:
    return RememberedStates(most, lambda fields: Task(*fields))


def known(states: RememberedStates, *tasks: Task) -> list[bool]:
    """Of each task whether this state of it is remembered."""
    return [states.get(task.user_id, task.id) == task for task in tasks]


def kept(states: RememberedStates) -> int:
    """Bytes, without those of dictionaries."""
    generations = [*states._newer.items(), *states._older.items()]
    return sum(owner.__sizeof__() + known.__sizeof__() for owner, known in generations)


def test_nothing_is_remembered_in_zero_bytes() -> None:
    states = states_of(0)
    states.note_created(ALICE)
    states.note_changed(ALICE, task(1))
    states.note_read(ALICE, [task(1)])
    assert known(states, task(1)) == [False]
    assert not states._expecting_read


@given(task=strategies.tasks)
def test_any_task_is_remembered_as_it_is(task: Task) -> None:
    states = RememberedStates(PLENTY, _task_with_extras)
    states.note_changed(task.user_id, task)
    too_long = len(_encoded(task)) > MAX_BYTES_PER_OWNER
    assert states.get(task.user_id, task.id) == (None if too_long else task)
    assert states.get(UserId(task.user_id + "?"), task.id) is None


def test_a_title_that_looks_like_a_state_is_not_one() -> None:
    states = states_of()
    states.note_changed(ALICE, task(1)._replace(title=Title('x\n[2,"alice"')))
    assert states.get(ALICE, TaskId(2)) is None


def test_the_last_state_that_was_seen_is_remembered() -> None:
    states = states_of()
    states.note_changed(ALICE, task(1))
    states.note_read(ALICE, [task(1, version=1), task(2), task(12)])
    assert known(states, task(1, version=1), task(2), task(12)) == [True] * 3
    states.note_changed(ALICE, task(2, version=1))
    states.note_changed(ALICE, task(1, version=2))
    assert known(states, task(1, version=2), task(2, version=1), task(12)) == [True] * 3


def test_what_is_forgotten_is_forgotten_alone() -> None:
    states = states_of()
    for number in (1, 2, 12):
        states.note_changed(ALICE, task(number))
    states.forget(ALICE, TaskId(2))
    states.forget(BOB, TaskId(1))
    assert BOB not in states._newer
    assert known(states, task(1), task(2), task(12)) == [True, False, True]


def test_what_is_forgotten_does_not_come_back() -> None:
    states = states_of(1200)  # bytes: a generation is too small for two owners with a task each
    states.note_changed(ALICE, task(1))
    states.note_changed(BOB, task(2, BOB))
    assert ALICE not in states._newer
    states.forget(ALICE, TaskId(1))
    assert ALICE in states._older
    assert states.get(ALICE, TaskId(1)) is None
    states = states_of()
    states.note_changed(ALICE, task(1))
    states.note_read(ALICE, [task(1, version=1)])
    states.forget(ALICE, TaskId(1))
    assert states.get(ALICE, TaskId(1)) is None


def test_a_task_that_is_too_large_pushes_out_nothing_but_its_earlier_state() -> None:
    states = states_of()
    states.note_changed(ALICE, task(1))
    states.note_changed(ALICE, task(2))
    states.note_changed(ALICE, task(1, description="😀" * Description.LONGEST))
    assert states.get(ALICE, TaskId(1)) is None
    assert known(states, task(2)) == [True]


def test_what_is_read_first_after_a_write_of_its_owner_is_remembered() -> None:
    states = states_of()
    states.note_read(ALICE, [task(1)])
    assert known(states, task(1)) == [False]
    states.note_created(ALICE)
    states.note_read(BOB, [task(2, BOB)])
    states.note_read(ALICE, [task(1), task(3)])
    states.note_read(ALICE, [task(4)])
    assert known(states, task(1), task(2, BOB), task(3), task(4)) == [True, False, True, False]
    states.note_changed(ALICE, task(1, version=1))
    states.note_read(ALICE, [task(4)])
    assert known(states, task(1, version=1), task(3), task(4)) == [True, True, True]


def test_a_task_of_one_owner_is_unknown_to_another() -> None:
    states = states_of()
    states.note_changed(ALICE, task(1))
    states.note_changed(BOB, task(2, BOB))
    assert states.get(BOB, TaskId(1)) is None
    assert states.get(ALICE, TaskId(2)) is None


def test_of_two_remembered_states_the_newer_one_counts() -> None:
    states = states_of(LITTLE)
    states.note_changed(ALICE, task(1))
    states.note_changed(BOB, task(2, BOB))
    assert ALICE not in states._newer
    assert known(states, task(1)) == [True]
    states.note_changed(ALICE, task(1, version=1))
    assert known(states, task(1, version=1)) == [True]


@pytest.mark.parametrize("length", [1, 60])
@pytest.mark.parametrize("owner", [lambda n: ALICE, lambda n: UserId(f"{n:255}")], ids=["one owner", "many owners"])
@pytest.mark.parametrize(
    "description", [None, "😀" * 1000, "😀" * Description.LONGEST], ids=["short", "long", "longest"]
)
def test_no_more_bytes_are_used_than_allowed(
    owner: Callable[[int], UserId], length: int, description: str | None
) -> None:
    states, most = states_of(), 0
    for number in range(1, 2000):
        by = owner(number)
        states.note_created(by)
        states.note_read(by, [task(number + other, by) for other in range(length)])
        states.note_changed(by, task(number, by, description))
        states.forget(by, TaskId(number + 1))
        most = max(most, kept(states))
        assert max(map(len, states._newer.values()), default=0) <= MAX_BYTES_PER_OWNER
    assert 0 < most <= PLENTY
    assert len(states._expecting_read) <= PLENTY / OWNER_OVERHEAD
    sizes = (OWNER_OVERHEAD + owner.__sizeof__() + len(known) for owner, known in states._newer.items())
    assert states._size == sum(sizes)


def test_one_owner_does_not_push_out_what_is_known_of_another() -> None:
    states = states_of()
    states.note_changed(BOB, task(1, BOB))
    for number in range(1, 10_000):
        states.note_changed(ALICE, task(number))
        states.note_read(ALICE, [task(number + other) for other in range(5)])
    assert known(states, task(1, BOB)) == [True]


def test_the_tasks_seen_last_are_kept() -> None:
    states = states_of()
    for number in range(1, 1000):
        states.note_changed(ALICE, task(number))
    recent = [task(number) for number in range(970, 1000)]
    assert known(states, *recent) == [True] * 30
    assert states.get(ALICE, TaskId(1)) is None
    for _ in range(1000):
        states.note_changed(ALICE, recent[0])
    assert known(states, *recent) == [True] * 30
