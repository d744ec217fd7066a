"""The contract of every TaskRepository. Subclass it with a fixture `tasks`."""

import asyncio
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings

from application.ports import TaskRepository
from domain.errors import KeyReused, ListChanged, TaskChanged, TaskNotFound
from domain.extras import Extras
from domain.listing import Position, Selection, Sort
from domain.search import SearchText
from domain.task import Draft, Task
from domain.values import Description, IdempotencyKey, TaskId, Title, UserId
from tests.strategies import drafts

ALICE, BOB = UserId("alice"), UserId("bob")
NOON = datetime(2026, 1, 4, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
KEY = IdempotencyKey("5f2b8c0e")
MILK = Draft(Title("Buy milk"), Description("Two litres"))


def append(letter: str, task: Task) -> Task:
    return task.edit({"title": Title(task.title + letter)}, LATER)


class TaskRepositoryContract:
    async def test_a_stored_task_is_returned_unchanged(self, tasks: TaskRepository) -> None:
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
        assert stored == task
        assert (stored.title, stored.description, stored.completed, stored.extras) == astuple(draft)

    async def test_the_longest_values_fit(self, tasks: TaskRepository) -> None:
        owner = UserId("😀" * UserId.LONGEST)
        draft = Draft(Title("😀" * Title.LONGEST), Description("😀" * Description.LONGEST))
        task = await tasks.add(owner, draft, NOON)
        assert await tasks.get(owner, task.id) == task

    async def test_the_largest_id_is_accepted(self, tasks: TaskRepository) -> None:
        with pytest.raises(TaskNotFound):
            await tasks.get(ALICE, TaskId(TaskId.LARGEST))

    async def test_concurrent_calls_may_have_ids_of_any_size(self, tasks: TaskRepository) -> None:
        ids = [TaskId(10**digits) for digits in range(16)]
        for call in (
            lambda id_: tasks.get(ALICE, id_),
            lambda id_: tasks.remove(ALICE, id_),
            lambda id_: tasks.update(ALICE, id_, lambda task: task),
        ):
            outcomes = await asyncio.gather(*map(call, ids), return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {TaskNotFound}
        pages = await asyncio.gather(*(tasks.page(ALICE, after=Position(None, id_), limit=1) for id_ in ids))
        assert pages == [[]] * len(ids)

    async def test_a_list_contains_all_tasks_of_the_owner_in_order_of_creation(self, tasks: TaskRepository) -> None:
        mine = [await tasks.add(ALICE, Draft(Title(title)), NOON) for title in "zam"]
        await tasks.add(BOB, MILK, NOON)
        await tasks.update(ALICE, mine[0].id, lambda task: append("!", task))
        assert [task.id for task in await tasks.page(ALICE, limit=100)] == [task.id for task in mine]

    async def test_the_list_of_an_unknown_owner_is_empty(self, tasks: TaskRepository) -> None:
        assert list(await tasks.page(ALICE, limit=100)) == []

    async def test_a_list_can_be_filtered_by_completed(self, tasks: TaskRepository) -> None:
        done = await tasks.add(ALICE, Draft(Title("done"), completed=True), NOON)
        open_ = await tasks.add(ALICE, Draft(Title("open")), NOON)
        assert list(await tasks.page(ALICE, Selection(completed=True), limit=100)) == [done]
        assert list(await tasks.page(ALICE, Selection(completed=False), limit=100)) == [open_]
        assert list(await tasks.page(ALICE, Selection(completed=None), limit=100)) == [done, open_]

    @pytest.mark.parametrize("sort", Sort)
    @pytest.mark.parametrize("descending", [False, True])
    async def test_pages_contain_every_task_once_and_in_order(
        self, tasks: TaskRepository, sort: Sort, descending: bool
    ) -> None:
        """Even when tasks of earlier pages are removed meanwhile."""
        for number, title in enumerate(["b", "é", "a", "B", "b", "😀", "Z", "ﬁ", "a b", "á"]):
            await tasks.add(ALICE, Draft(Title(title)), NOON - timedelta(minutes=number))
            await tasks.add(BOB, Draft(Title(title)), NOON)
        selection = Selection(sort=sort, descending=descending)
        expected = sorted(await tasks.page(ALICE, limit=100), key=selection.position, reverse=descending)
        found: list[Task] = []
        while page := await tasks.page(
            ALICE, selection, after=selection.position(found[-1]) if found else None, limit=3
        ):
            assert len(page) <= 3
            found += page
            await tasks.remove(ALICE, found[-1].id)
        assert found == expected

    async def test_a_position_need_not_be_that_of_a_stored_task(self, tasks: TaskRepository) -> None:
        b = await tasks.add(ALICE, Draft(Title("b")), NOON)
        by_title, by_time = Selection(sort=Sort.TITLE), Selection(sort=Sort.UPDATED)
        assert list(await tasks.page(ALICE, by_title, after=Position("a", b.id), limit=9)) == [b]
        assert list(await tasks.page(ALICE, by_title, after=Position("b", b.id), limit=9)) == []
        assert list(await tasks.page(ALICE, by_title, after=Position("c", TaskId(1)), limit=9)) == []
        assert list(await tasks.page(ALICE, by_time, after=Position(NOON - timedelta(seconds=1), b.id), limit=9)) == [b]
        assert list(await tasks.page(ALICE, by_time, after=Position(LATER, TaskId(1)), limit=9)) == []

    @pytest.mark.parametrize(
        ("search", "found"),
        [
            ("milk", ["Buy MILK", "eat", "Milk 50%"]),
            ("MILK", ["Buy MILK", "eat", "Milk 50%"]),
            ("50%", ["Milk 50%"]),
            ("%", ["Milk 50%"]),
            ("_", ["snake_case"]),
            ("k_", []),
            ("snake_", ["snake_case"]),
            (".", []),
            ("[a-z]", []),
            ("\\", ["back\\slash"]),
            ("ÉTÉ", ["Été"]),
            ("οδος", ["ΟΔΌΣ ΟΔΟΣ"]),
            ("STRAẞE", ["Straße"]),
            ("😀", ["smile 😀"]),
            (" ", ["Buy MILK", "ΟΔΌΣ ΟΔΟΣ", "smile 😀", "Milk 50%"]),
            ("no such", []),
        ],
    )
    async def test_a_search_is_literal_and_case_insensitive(
        self, tasks: TaskRepository, search: str, found: list[str]
    ) -> None:
        titles = ["Buy MILK", "Été", "ΟΔΌΣ ΟΔΟΣ", "Straße", "smile 😀", "snake_case", "back\\slash"]
        for title in titles:
            await tasks.add(ALICE, Draft(Title(title)), NOON)
        await tasks.add(ALICE, Draft(Title("eat"), Description("bread,\nmilk")), NOON)
        await tasks.add(ALICE, Draft(Title("Milk 50%"), Description("")), NOON)
        await tasks.add(BOB, Draft(Title(f"{search} of Bob")), NOON)
        page = await tasks.page(ALICE, Selection(search=SearchText(search)), limit=100)
        assert sorted(task.title for task in page) == sorted(found)

    async def test_the_longest_search_text_is_accepted(self, tasks: TaskRepository) -> None:
        longest = Draft(Title("s" * Title.LONGEST), Description("\\" * SearchText.LONGEST))
        task = await tasks.add(ALICE, longest, NOON)
        for text in ("S" * SearchText.LONGEST, "\\" * SearchText.LONGEST):
            assert list(await tasks.page(ALICE, Selection(search=SearchText(text)), limit=9)) == [task]

    async def test_a_task_is_removed_only_in_an_expected_version(self, tasks: TaskRepository) -> None:
        task = await tasks.add(ALICE, MILK, NOON)
        changed = await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))
        for expected in ([], [NOON], [LATER + timedelta(microseconds=1)]):
            with pytest.raises(TaskChanged):
                await tasks.remove(ALICE, task.id, expected)
        assert await tasks.get(ALICE, task.id) == changed
        with pytest.raises(TaskNotFound):
            await tasks.remove(BOB, task.id, [LATER])
        await tasks.remove(ALICE, task.id, [NOON, LATER])
        with pytest.raises(TaskNotFound):
            await tasks.remove(ALICE, task.id, [LATER])

    async def test_of_concurrent_update_and_removal_of_one_version_one_succeeds(self, tasks: TaskRepository) -> None:
        for _ in range(10):
            task = await tasks.add(ALICE, MILK, NOON)
            changed, removed = await asyncio.gather(
                tasks.update(ALICE, task.id, lambda task: task.matching([NOON]).toggle(LATER)),
                tasks.remove(ALICE, task.id, [NOON]),
                return_exceptions=True,
            )
            if removed is None:
                assert isinstance(changed, TaskNotFound)
            else:
                assert isinstance(removed, TaskChanged)
                assert await tasks.get(ALICE, task.id) == changed

    async def test_a_repeated_add_with_a_key_returns_the_first_task(self, tasks: TaskRepository) -> None:
        first = await tasks.add(ALICE, MILK, NOON, KEY)
        await tasks.update(ALICE, first.id, lambda task: task.toggle(LATER))
        assert await tasks.add(ALICE, MILK, LATER, KEY) == first
        await tasks.remove(ALICE, first.id)
        assert await tasks.add(ALICE, MILK, LATER, KEY) == first
        assert list(await tasks.page(ALICE, limit=9)) == []

    async def test_a_key_belongs_to_one_owner(self, tasks: TaskRepository) -> None:
        mine, theirs = await tasks.add(ALICE, MILK, NOON, KEY), await tasks.add(BOB, MILK, NOON, KEY)
        assert mine.id != theirs.id
        assert (await tasks.add(BOB, MILK, LATER, KEY)) == theirs

    @pytest.mark.parametrize(
        "other",
        [
            Draft(Title("Buy tea"), MILK.description),
            Draft(MILK.title),
            Draft(MILK.title, Description("")),
            Draft(MILK.title, MILK.description, completed=True),
            Draft(MILK.title, MILK.description, extras=Extras({"priority": "high"})),
        ],
        ids=["title", "no description", "empty description", "completed", "extras"],
    )
    async def test_a_key_cannot_be_reused_for_another_draft(self, tasks: TaskRepository, other: Draft) -> None:
        first = await tasks.add(ALICE, MILK, NOON, KEY)
        with pytest.raises(KeyReused):
            await tasks.add(ALICE, other, NOON, KEY)
        assert list(await tasks.page(ALICE, limit=9)) == [first]

    async def test_a_key_is_for_extras_of_one_value_in_any_order(self, tasks: TaskRepository) -> None:
        draft = Draft(MILK.title, extras=Extras({"priority": "high", "tags": ["a"]}))
        first = await tasks.add(ALICE, draft, NOON, KEY)
        again = Draft(MILK.title, extras=Extras({"tags": ["a"], "priority": "high"}))
        assert await tasks.add(ALICE, again, LATER, KEY) == first
        with pytest.raises(KeyReused):
            await tasks.add(ALICE, Draft(MILK.title, extras=Extras({"priority": "low", "tags": ["a"]})), LATER, KEY)

    async def test_extras_are_merged_by_member(self, tasks: TaskRepository) -> None:
        task = await tasks.add(ALICE, Draft(MILK.title, extras=Extras({"a": 1, "b": {"c": None}})), NOON)
        changed = await tasks.update(ALICE, task.id, lambda task: task.edit({"extras": {"a": None, "d": [2.5]}}, LATER))
        assert (changed.extras, changed.updated_at) == (Extras({"b": {"c": None}, "d": [2.5]}), LATER)
        assert await tasks.get(ALICE, task.id) == changed
        assert list(await tasks.page(ALICE, limit=9)) == [changed]
        none = await tasks.update(ALICE, task.id, lambda task: task.edit({"extras": {"b": None, "d": None}}, LATER))
        assert none.extras is None
        assert await tasks.get(ALICE, task.id) == none

    async def test_a_key_expires_after_its_lifetime(self, tasks: TaskRepository) -> None:
        first = await tasks.add(ALICE, MILK, NOON, KEY)
        assert await tasks.add(ALICE, MILK, NOON + IdempotencyKey.LIFETIME - timedelta(microseconds=1), KEY) == first
        second = await tasks.add(ALICE, Draft(Title("Buy tea")), NOON + IdempotencyKey.LIFETIME, KEY)
        assert list(await tasks.page(ALICE, limit=9)) == [first, second]
        with pytest.raises(KeyReused):
            await tasks.add(ALICE, MILK, NOON + IdempotencyKey.LIFETIME, KEY)

    async def test_concurrent_adds_with_one_key_add_one_task(self, tasks: TaskRepository) -> None:
        for round_ in range(5):
            key = IdempotencyKey(f"round {round_}")
            added = await asyncio.gather(*(tasks.add(ALICE, MILK, NOON, key) for _ in range(20)))
            assert len({*added}) == 1
        assert len(await tasks.page(ALICE, limit=100)) == 5

    async def test_concurrent_adds_with_different_keys_are_not_mixed_up(self, tasks: TaskRepository) -> None:
        keys = [(owner, IdempotencyKey(f"key {number}")) for number in range(20) for owner in (ALICE, BOB)]
        added = await asyncio.gather(
            *(tasks.add(owner, Draft(Title(f"{owner}: {key}")), NOON, key) for owner, key in keys)
        )
        for (owner, key), task in zip(keys, added, strict=True):
            assert (task.user_id, task.title) == (owner, f"{owner}: {key}")
            assert await tasks.get(owner, task.id) == task

    async def test_an_update_stores_the_task_that_it_returns(self, tasks: TaskRepository) -> None:
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

    async def test_a_removed_task_is_not_found(self, tasks: TaskRepository) -> None:
        task, other = await tasks.add(ALICE, MILK, NOON), await tasks.add(ALICE, MILK, NOON)
        await tasks.remove(ALICE, task.id)
        with pytest.raises(TaskNotFound):
            await tasks.get(ALICE, task.id)
        with pytest.raises(TaskNotFound):
            await tasks.update(ALICE, task.id, lambda task: task)
        with pytest.raises(TaskNotFound):
            await tasks.remove(ALICE, task.id)
        assert list(await tasks.page(ALICE, limit=100)) == [other]

    async def test_the_oldest_tasks_of_the_owner_are_removed(self, tasks: TaskRepository) -> None:
        mine = [await tasks.add(ALICE, MILK, NOON) for _ in range(7)]
        theirs = await tasks.add(BOB, MILK, NOON)
        up_to = mine[4].id
        assert await tasks.remove_oldest(ALICE, up_to=up_to, limit=3) == 3
        assert list(await tasks.page(ALICE, limit=9)) == mine[3:]
        assert await tasks.remove_oldest(ALICE, up_to=up_to, limit=3) == 2
        assert await tasks.remove_oldest(ALICE, up_to=up_to, limit=3) == 0
        assert list(await tasks.page(ALICE, limit=9)) == mine[5:]
        assert list(await tasks.page(BOB, limit=9)) == [theirs]

    async def test_concurrent_removals_of_the_oldest_count_every_task_once(self, tasks: TaskRepository) -> None:
        mine = [await tasks.add(ALICE, MILK, NOON) for _ in range(40)]
        counts = await asyncio.gather(*(tasks.remove_oldest(ALICE, up_to=mine[-1].id, limit=3) for _ in range(20)))
        assert sum(counts) == 40

    async def test_all_tasks_are_removed_only_if_they_are_the_expected_ones(self, tasks: TaskRepository) -> None:
        theirs, mine = await tasks.add(BOB, MILK, NOON), [await tasks.add(ALICE, MILK, NOON) for _ in range(3)]
        changed = await tasks.update(ALICE, mine[0].id, lambda task: task.toggle(LATER))
        for wrong in (mine, [changed, *mine[1:2]], [changed, *mine[1:], theirs], [theirs]):
            with pytest.raises(ListChanged):
                await tasks.remove_all(ALICE, wrong)
        assert list(await tasks.page(ALICE, limit=9)) == [changed, *mine[1:]]
        await tasks.remove_all(ALICE, [changed, *mine[1:]])
        assert list(await tasks.page(ALICE, limit=9)) == []
        assert list(await tasks.page(BOB, limit=9)) == [theirs]
        with pytest.raises(ListChanged):
            await tasks.remove_all(ALICE, [changed, *mine[1:]])

    async def test_a_change_and_the_removal_of_all_expected_tasks_exclude_each_other(
        self, tasks: TaskRepository
    ) -> None:
        for _ in range(10):
            mine = [await tasks.add(ALICE, MILK, NOON) for _ in range(5)]
            changed, removed = await asyncio.gather(
                tasks.update(ALICE, mine[2].id, lambda task: task.toggle(LATER)),
                tasks.remove_all(ALICE, mine),
                return_exceptions=True,
            )
            if removed is None:
                assert isinstance(changed, TaskNotFound)
            else:
                assert isinstance(removed, ListChanged)
                assert len(await tasks.page(ALICE, limit=9)) == 5
                assert await tasks.remove_oldest(ALICE, up_to=mine[-1].id, limit=9) == 5

    async def test_ids_are_never_reused(self, tasks: TaskRepository) -> None:
        first = await tasks.add(ALICE, MILK, NOON)
        await tasks.remove(ALICE, first.id)
        assert (await tasks.add(ALICE, MILK, NOON)).id > first.id

    @pytest.mark.parametrize("stranger", ["bob", "Alice", "alice ", " alice", "alic", "alicea", "%", "a_ice"])
    async def test_tasks_of_another_owner_cannot_be_reached(self, tasks: TaskRepository, stranger: str) -> None:
        task, other = await tasks.add(ALICE, MILK, NOON), UserId(stranger)
        leaked: list[Task] = []

        def peek(task: Task) -> Task:
            leaked.append(task)
            return append("!", task)

        with pytest.raises(TaskNotFound):
            await tasks.get(other, task.id)
        with pytest.raises(TaskNotFound):
            await tasks.update(other, task.id, peek)
        with pytest.raises(TaskNotFound):
            await tasks.remove(other, task.id)
        assert list(await tasks.page(other, limit=100)) == leaked == []
        assert await tasks.get(ALICE, task.id) == task

    async def test_concurrent_updates_of_one_task_are_all_applied(self, tasks: TaskRepository) -> None:
        task = await tasks.add(ALICE, Draft(Title(">")), NOON)
        letters = "abcdefghijklmnopqrst"
        await asyncio.gather(*(tasks.update(ALICE, task.id, partial(append, letter)) for letter in letters))
        assert sorted((await tasks.get(ALICE, task.id)).title) == sorted(">" + letters)

    async def test_of_concurrent_removals_of_one_task_one_succeeds(self, tasks: TaskRepository) -> None:
        task = await tasks.add(ALICE, MILK, NOON)
        outcomes = await asyncio.gather(*(tasks.remove(ALICE, task.id) for _ in range(16)), return_exceptions=True)
        assert outcomes.count(None) == 1
        assert sum(isinstance(outcome, TaskNotFound) for outcome in outcomes) == 15

    async def test_concurrent_updates_of_different_fields_are_both_kept(self, tasks: TaskRepository) -> None:
        for _ in range(10):
            task = await tasks.add(ALICE, MILK, NOON)
            await asyncio.gather(
                tasks.update(ALICE, task.id, lambda task: task.edit({"title": Title("Buy tea")}, LATER)),
                tasks.update(ALICE, task.id, lambda task: task.toggle(LATER)),
            )
            changed = await tasks.get(ALICE, task.id)
            assert (changed.title, changed.completed) == ("Buy tea", True)

    async def test_concurrent_adds_get_different_ids(self, tasks: TaskRepository) -> None:
        added = await asyncio.gather(*(tasks.add(ALICE, MILK, NOON) for _ in range(50)))
        assert len({task.id for task in added}) == 50
        assert [task.id for task in await tasks.page(ALICE, limit=100)] == sorted(task.id for task in added)
