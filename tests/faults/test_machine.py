"""What counts as lost to other work on the machine, and that bounds leave out nothing else."""

import pytest

from tests.faults.load import Operation
from tests.faults.machine import LostTime
from tests.faults.scenario import Bound, Figures, back_within, errors_within, last_error_within, responses_within


def lost_time(*samples: tuple[float, dict[int, float]]) -> LostTime:
    """At each time, how long each process has waited so far."""
    lost = LostTime()
    for now, waited in samples:
        lost.add(now, waited)
    return lost


def test_waiting_between_two_moments_is_lost() -> None:
    lost = lost_time((0, {1: 3}), (10, {1: 3}), (20, {1: 7}), (30, {1: 7}))
    assert [lost.between(0, 10), lost.between(10, 20), lost.between(15, 30), lost.between(20, 40)] == [0, 4, 2, 0]


def test_several_processes_that_wait_at_once_lose_no_more_than_the_time_that_passed() -> None:
    assert lost_time((0, {}), (10, {1: 8, 2: 9})).between(0, 10) == 10


def test_a_process_that_has_ended_gives_no_time_back() -> None:
    assert lost_time((0, {1: 5}), (10, {1: 8}), (20, {2: 1}), (30, {2: 2})).between(0, 30) == 5


@pytest.mark.parametrize("bound", [responses_within(6), errors_within(6), last_error_within(6), back_within(6)])
@pytest.mark.parametrize(("waited", "kept"), [(0.0, False), (1.0, False), (2.0, True)])
def test_a_bound_leaves_out_what_was_lost_and_nothing_else(bound: Bound, waited: float, kept: bool) -> None:
    operations = [
        Operation("a", "get", began=10, ended=17.5, status=503),
        Operation("a", "get", began=17.4, ended=17.5, status=200),
    ]
    lost = lost_time((0, {1: 0}), (11, {1: 0}), (16, {1: waited}), (20, {1: waited}))
    assert bound.kept(Figures(operations, began=10, ended=10, lost=lost)) is kept
