import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import NotYours
from domain.ownership import acting_as
from domain.values import UserId
from tests.strategies import any_text, owners


@given(owners)
def test_everybody_acts_as_themselves(caller: UserId) -> None:
    assert acting_as(str(caller), caller=caller) == caller


@given(any_text | owners, owners)
def test_nobody_acts_as_anybody_else(claimed: str, caller: UserId) -> None:
    if claimed == caller:
        return
    with pytest.raises(NotYours):
        acting_as(claimed, caller=caller)


@given(owners, st.sampled_from([str.upper, str.title, lambda it: it + " ", lambda it: " " + it, lambda it: it + "\0"]))
def test_a_near_miss_is_a_miss(caller: UserId, blur: object) -> None:
    near = blur(caller)  # type: ignore[operator]
    if near != caller:
        with pytest.raises(NotYours):
            acting_as(near, caller=caller)
