import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import NotYours
from domain.ownership import acting_as
from domain.values import UserId
from tests.strategies import any_text, owners


@given(owners)
def test_a_caller_may_act_as_themselves(caller: UserId) -> None:
    assert acting_as(str(caller), caller=caller) == caller


@given(any_text | owners, owners)
def test_a_caller_may_not_act_as_another_user(claimed: str, caller: UserId) -> None:
    if claimed == caller:
        return
    with pytest.raises(NotYours):
        acting_as(claimed, caller=caller)


@given(owners, st.sampled_from([str.upper, str.title, lambda it: it + " ", lambda it: " " + it, lambda it: it + "\0"]))
def test_user_ids_that_differ_in_case_or_whitespace_are_different_users(caller: UserId, alter: object) -> None:
    similar = alter(caller)  # type: ignore[operator]
    if similar != caller:
        with pytest.raises(NotYours):
            acting_as(similar, caller=caller)
