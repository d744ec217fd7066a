"""Properties of tasks. Adapters are only compared with each other, so an error common to both would show here alone."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given

from domain.task import Changes, Task
from domain.values import Title
from tests.strategies import changes, tasks, times


@given(tasks, changes, times)
def test_no_change_affects_id_owner_or_created_at(task: Task, sent: Changes, at: datetime) -> None:
    for changed in (task.edit(sent, at), task.complete(at), task.toggle(at)):
        assert (changed.id, changed.user_id, changed.created_at) == (task.id, task.user_id, task.created_at)


@given(tasks, changes, times)
def test_an_edit_changes_the_given_fields_only(task: Task, sent: Changes, at: datetime) -> None:
    edited = task.edit(sent, at)
    for field in ("title", "description"):
        assert getattr(edited, field) == sent.get(field, getattr(task, field))
    expected = not task.completed if "toggled" in sent else sent.get("completed", task.completed)
    assert edited.completed is expected


@given(tasks, changes, times)
def test_updated_at_increases_if_and_only_if_something_changed(task: Task, sent: Changes, at: datetime) -> None:
    edited = task.edit(sent, at)
    if edited._replace(updated_at=task.updated_at) == task:
        assert edited is task
    else:
        assert edited.updated_at > task.updated_at
        assert edited.updated_at >= at


@given(tasks)
def test_updated_at_increases_by_a_microsecond_when_the_clock_stands_still(task: Task) -> None:
    assert task.toggle(task.updated_at).updated_at == task.updated_at + timedelta(microseconds=1)


@given(tasks, times, times)
def test_completing_is_idempotent(task: Task, first: datetime, second: datetime) -> None:
    completed = task.complete(first)
    assert completed.completed
    assert completed.complete(second) is completed


@given(tasks, times)
def test_toggling_twice_restores_the_original_value(task: Task, at: datetime) -> None:
    assert task.toggle(at).completed is not task.completed
    assert task.toggle(at).toggle(at).completed is task.completed


@given(tasks, times)
def test_none_clears_the_description(task: Task, at: datetime) -> None:
    assert task.edit({"description": None}, at).description is None


@given(tasks)
def test_a_task_is_immutable(task: Task) -> None:
    with pytest.raises(AttributeError):
        task.title = Title("other")  # type: ignore[misc]
