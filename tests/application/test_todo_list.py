from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from adapters.in_memory import InMemoryTaskRepository
from application import todo_list
from application.todo_list import TodoList
from domain.errors import TaskNotFound
from domain.listing import ALL, Selection, Sort
from domain.task import Draft, Task
from domain.values import Description, Title, UserId

NOON = datetime(2026, 1, 4, 12, tzinfo=UTC)


class ManualClock:
    """A clock that stands still until the test sets it."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tasks() -> InMemoryTaskRepository:
    return InMemoryTaskRepository()


@pytest.fixture
def todo(tasks: InMemoryTaskRepository, clock: ManualClock) -> TodoList:
    return TodoList(UserId("alice"), tasks, clock)


@pytest.fixture
def bobs(tasks: InMemoryTaskRepository, clock: ManualClock) -> TodoList:
    return TodoList(UserId("bob"), tasks, clock)


async def test_a_new_task_has_the_owner_and_the_current_time(todo: TodoList) -> None:
    task = await todo.create(Draft(Title("Buy milk")))
    assert (task.user_id, task.title, task.completed) == ("alice", "Buy milk", False)
    assert task.created_at == task.updated_at == NOON


async def test_a_list_contains_only_its_owner_s_tasks_in_order_of_creation(todo: TodoList, bobs: TodoList) -> None:
    first, _, second = (
        await todo.create(Draft(Title("z"))),
        await bobs.create(Draft(Title("m"))),
        await todo.create(Draft(Title("a"))),
    )
    assert [chunk async for chunk in todo.list()] == [[first, second]]


async def test_a_list_can_be_filtered(todo: TodoList) -> None:
    done, open_ = await todo.create(Draft(Title("done"), completed=True)), await todo.create(Draft(Title("open")))
    assert [chunk async for chunk in todo.list(Selection(completed=True))] == [[done]]
    assert [chunk async for chunk in todo.list(Selection(completed=False))] == [[open_]]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
async def test_a_list_of_any_length_is_read_in_chunks(
    todo: TodoList, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(todo_list, "CHUNK", 2)
    created = [await todo.create(Draft(Title("Buy milk"))) for _ in range(count)]
    chunks = [list(chunk) async for chunk in todo.list()]
    assert [task for chunk in chunks for task in chunk] == created
    assert all(len(chunk) <= 2 for chunk in chunks)


@pytest.mark.parametrize("count", range(10))
@pytest.mark.parametrize("selection", [Selection(sort=Sort.TITLE), Selection(True, sort=Sort.UPDATED, descending=True)])
async def test_a_sorted_list_of_any_length_is_read_in_parts(
    todo: TodoList, clock: ManualClock, count: int, selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(todo_list, "CHUNK", 2)
    monkeypatch.setattr(todo_list, "PART", 3)
    for number in range(count):
        clock.time += timedelta(minutes=number % 3)
        await todo.create(Draft(Title("abcde"[number * 3 % 5]), completed=number % 4 > 0))
    chunks = [list(chunk) async for chunk in todo.list(selection)]
    assert [task for chunk in chunks for task in chunk] == await todo.tasks.page(todo.owner, selection, limit=99)
    assert all(len(chunk) <= 2 for chunk in chunks)
    for skipped in range(count + 2):
        position = await todo.position(selection, after=None, skipped=skipped)
        following = await todo.tasks.page(todo.owner, selection, after=position, limit=99)
        assert following == (await todo.tasks.page(todo.owner, selection, limit=99))[skipped:]


def text_bytes(tasks: Sequence[Task]) -> int:
    return sum(text.__sizeof__() for task in tasks for text in (task.title, task.description or ""))


@pytest.mark.parametrize("selection", [ALL, Selection(sort=Sort.TITLE), Selection(False, sort=Sort.UPDATED)])
async def test_a_chunk_of_a_long_list_has_only_so_many_bytes(
    todo: TodoList, selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(todo_list, "CHUNK", 8)
    monkeypatch.setattr(todo_list, "CHUNK_BYTES", 5000)
    monkeypatch.setattr(todo_list, "PART", 20)
    lengths = [0] * 10 + [1000, 300, 50] * 8 + [5000] + [0] * 30 + [1000] * 5
    for number, length in enumerate(lengths):
        await todo.create(Draft(Title(f"{number:03}"), Description("\N{PARTY POPPER}" * length)))
    await todo.complete((await todo.create(Draft(Title("010a")))).id)  # not in the third selection
    chunks = [list(chunk) async for chunk in todo.list(selection)]
    assert [task for chunk in chunks for task in chunk] == await todo.tasks.page(todo.owner, selection, limit=99)
    assert all(len(chunk) == 1 or text_bytes(chunk) <= 5000 for chunk in chunks)
    assert max(map(len, chunks[10:])) == 8, "shorter tasks are read in larger chunks again"


async def test_a_list_of_one_chunk_is_not_split(todo: TodoList, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response that is not streamed has an ETag."""
    monkeypatch.setattr(todo_list, "CHUNK", 4)
    monkeypatch.setattr(todo_list, "CHUNK_BYTES", 1)
    created = [await todo.create(Draft(Title("long"))) for _ in range(4)]
    assert [chunk async for chunk in todo.list()] == [created]


async def test_a_sorted_list_goes_on_after_tasks_that_it_no_longer_includes(
    todo: TodoList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(todo_list, "CHUNK", 1)
    first, second, third = [await todo.create(Draft(Title(title))) for title in "abc"]
    chunks = todo.list(Selection(False, sort=Sort.TITLE))
    assert await anext(chunks) == [first]
    await todo.complete(second.id)
    assert [chunk async for chunk in chunks] == [[third]]


async def test_an_edit_sets_updated_at_to_the_current_time(todo: TodoList, clock: ManualClock) -> None:
    task = await todo.create(Draft(Title("Buy milk")))
    clock.time += timedelta(hours=1)
    edited = await todo.edit(task.id, {"title": Title("Buy oat milk")})
    assert (edited.title, edited.created_at, edited.updated_at) == ("Buy oat milk", NOON, NOON + timedelta(hours=1))
    assert await todo.get(task.id) == edited


async def test_completing_is_idempotent_and_toggling_is_not(todo: TodoList) -> None:
    task = await todo.create(Draft(Title("Buy milk")))
    assert [(await todo.complete(task.id)).completed for _ in range(2)] == [True, True]
    assert [(await todo.toggle(task.id)).completed for _ in range(2)] == [False, True]


async def test_a_deleted_task_is_gone_and_its_id_is_never_reused(todo: TodoList) -> None:
    task = await todo.create(Draft(Title("Buy milk")))
    await todo.delete(task.id)
    with pytest.raises(TaskNotFound):
        await todo.get(task.id)
    with pytest.raises(TaskNotFound):
        await todo.delete(task.id)
    assert (await todo.create(Draft(Title("Buy milk")))).id != task.id


async def test_another_user_s_task_is_not_found(todo: TodoList, bobs: TodoList) -> None:
    task = await todo.create(Draft(Title("private")))
    for attempt in (
        bobs.get(task.id),
        bobs.edit(task.id, {"title": Title("mine now")}),
        bobs.complete(task.id),
        bobs.toggle(task.id),
        bobs.delete(task.id),
    ):
        with pytest.raises(TaskNotFound):
            await attempt
    assert await todo.get(task.id) == task
