"""What every TaskRepository keeps. Subclass it with a fixture `tasks`."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings

from application.ports import TaskRepository
from domain.errors import TaskNotFound
from domain.task import Draft, Task
from domain.values import Description, TaskId, Title, UserId
from tests.strategies import drafts

ALICE, BOB = UserId("alice"), UserId("bob")
NOON = datetime(2026, 1, 4, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
MILK = Draft(Title("Buy milk"), Description("Two litres"))


def append(letter: str, task: Task) -> Task:
    return task.edit({"title": Title(task.title + letter)}, LATER)


class TaskRepositoryContract:
    async def test_a_stored_task_comes_back_as_it_was(self, tasks: TaskRepository) -> None:
        task = await tasks.add(ALICE, MILK, NOON)
        assert await tasks.get(ALICE, task.id) == task
        assert (task.user_id, task.title, task.description, task.completed) == (ALICE, "Buy milk", "Two litres", False)
        assert task.created_at == task.updated_at == NOON

    async def test_times_are_in_utc_to_the_microsecond(self, tasks: TaskRepository) -> None:
        task = await tasks.add(ALICE, MILK, NOON)
        for stored in (task, await tasks.get(ALICE, task.id)):
            assert stored.created_at.utcoffset() == timedelta(0)
            assert stored.created_at.microsecond == 123456

    @given(draft=drafts)
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
    async def test_every_valid_draft_can_be_stored(self, tasks: TaskRepository, draft: Draft) -> None:
        task = await tasks.add(ALICE, draft, NOON)
        stored = await tasks.get(ALICE, task.id)
        assert (stored.title, stored.description, stored.completed) == (draft.title, draft.description, draft.completed)

    async def test_the_longest_values_fit(self, tasks: TaskRepository) -> None:
        owner = UserId("😀" * UserId.LONGEST)
        draft = Draft(Title("😀" * Title.LONGEST), Description("😀" * Description.LONGEST))
        task = await tasks.add(owner, draft, NOON)
        assert await tasks.get(owner, task.id) == task

    async def test_the_largest_id_can_be_asked_for(self, tasks: TaskRepository) -> None:
        with pytest.raises(TaskNotFound):
            await tasks.get(ALICE, TaskId(TaskId.LARGEST))

    async def test_a_list_holds_all_of_the_owner_in_order_of_creation(self, tasks: TaskRepository) -> None:
        mine = [await tasks.add(ALICE, Draft(Title(title)), NOON) for title in "zam"]
        await tasks.add(BOB, MILK, NOON)
        await tasks.update(ALICE, mine[0].id, lambda task: append("!", task))
        assert [task.id for task in await tasks.list(ALICE)] == [task.id for task in mine]

    async def test_a_list_of_nobody_is_empty(self, tasks: TaskRepository) -> None:
        assert list(await tasks.list(ALICE)) == []

    async def test_a_list_can_be_asked_for_what_is_done_or_open(self, tasks: TaskRepository) -> None:
        done = await tasks.add(ALICE, Draft(Title("done"), completed=True), NOON)
        open_ = await tasks.add(ALICE, Draft(Title("open")), NOON)
        assert list(await tasks.list(ALICE, completed=True)) == [done]
        assert list(await tasks.list(ALICE, completed=False)) == [open_]
        assert list(await tasks.list(ALICE, completed=None)) == [done, open_]

    async def test_an_update_stores_what_it_returns(self, tasks: TaskRepository) -> None:
        task = await tasks.add(ALICE, MILK, NOON)
        changed = await tasks.update(
            ALICE, task.id, lambda task: task.edit({"description": None, "completed": True}, LATER)
        )
        assert (changed.description, changed.completed, changed.updated_at) == (None, True, LATER)
        assert await tasks.get(ALICE, task.id) == changed

    async def test_an_update_that_changes_nothing_stores_nothing(self, tasks: TaskRepository) -> None:
        task = await tasks.add(ALICE, MILK, NOON)
        assert await tasks.update(ALICE, task.id, lambda task: task) == task
        assert await tasks.get(ALICE, task.id) == task

    async def test_an_update_that_raises_changes_nothing(self, tasks: TaskRepository) -> None:
        task = await tasks.add(ALICE, MILK, NOON)

        def refuse(_: Task) -> Task:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await tasks.update(ALICE, task.id, refuse)
        assert await tasks.get(ALICE, task.id) == task

    async def test_a_removed_task_is_gone(self, tasks: TaskRepository) -> None:
        task, other = await tasks.add(ALICE, MILK, NOON), await tasks.add(ALICE, MILK, NOON)
        await tasks.remove(ALICE, task.id)
        with pytest.raises(TaskNotFound):
            await tasks.get(ALICE, task.id)
        with pytest.raises(TaskNotFound):
            await tasks.update(ALICE, task.id, lambda task: task)
        with pytest.raises(TaskNotFound):
            await tasks.remove(ALICE, task.id)
        assert list(await tasks.list(ALICE)) == [other]

    async def test_an_id_is_never_used_again(self, tasks: TaskRepository) -> None:
        first = await tasks.add(ALICE, MILK, NOON)
        await tasks.remove(ALICE, first.id)
        assert (await tasks.add(ALICE, MILK, NOON)).id > first.id

    @pytest.mark.parametrize("stranger", ["bob", "Alice", "alice ", " alice", "alic", "alicea", "%", "a_ice"])
    async def test_nothing_of_another_owner_can_be_reached(self, tasks: TaskRepository, stranger: str) -> None:
        task, other = await tasks.add(ALICE, MILK, NOON), UserId(stranger)
        seen: list[Task] = []

        def peek(task: Task) -> Task:
            seen.append(task)
            return append("!", task)

        with pytest.raises(TaskNotFound):
            await tasks.get(other, task.id)
        with pytest.raises(TaskNotFound):
            await tasks.update(other, task.id, peek)
        with pytest.raises(TaskNotFound):
            await tasks.remove(other, task.id)
        assert list(await tasks.list(other)) == seen == []
        assert await tasks.get(ALICE, task.id) == task

    async def test_twenty_who_append_a_letter_at_once_lose_none(self, tasks: TaskRepository) -> None:
        task = await tasks.add(ALICE, Draft(Title(">")), NOON)
        letters = "abcdefghijklmnopqrst"
        await asyncio.gather(*(tasks.update(ALICE, task.id, partial(append, letter)) for letter in letters))
        assert sorted((await tasks.get(ALICE, task.id)).title) == sorted(">" + letters)

    async def test_of_sixteen_who_remove_one_task_one_succeeds(self, tasks: TaskRepository) -> None:
        task = await tasks.add(ALICE, MILK, NOON)
        outcomes = await asyncio.gather(*(tasks.remove(ALICE, task.id) for _ in range(16)), return_exceptions=True)
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, TaskNotFound) for outcome in outcomes) == 15

    async def test_two_changes_of_different_fields_at_once_both_survive(self, tasks: TaskRepository) -> None:
        for _ in range(10):
            task = await tasks.add(ALICE, MILK, NOON)
            await asyncio.gather(
                tasks.update(ALICE, task.id, lambda task: task.edit({"title": Title("Buy tea")}, LATER)),
                tasks.update(ALICE, task.id, lambda task: task.toggle(LATER)),
            )
            changed = await tasks.get(ALICE, task.id)
            assert (changed.title, changed.completed) == ("Buy tea", True)

    async def test_many_who_add_at_once_get_different_ids(self, tasks: TaskRepository) -> None:
        added = await asyncio.gather(*(tasks.add(ALICE, MILK, NOON) for _ in range(50)))
        assert len({task.id for task in added}) == 50
        assert [task.id for task in await tasks.list(ALICE)] == sorted(task.id for task in added)
