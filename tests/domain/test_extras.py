"""Additional members: what can be stored comes back with the same value, and what cannot is refused."""

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given

from domain.errors import InvalidValue
from domain.extras import Extras, merged
from tests.strategies import extra_members


@given(extra_members)
def test_members_keep_their_values(members: dict[str, Any]) -> None:
    extras = Extras(members)
    assert json.loads(extras) == members
    assert Extras.stored(json.dumps(members, indent=1)) == copy.deepcopy(extras) == extras


@given(extra_members, extra_members)
def test_a_change_affects_the_members_that_it_names(first: dict[str, Any], second: dict[str, Any]) -> None:
    expected = {name: value for name, value in {**first, **second}.items() if value is not None}
    found = merged(merged(None, first), second)
    assert (json.loads(found) if found else {}) == expected
    assert merged(found, {}) == found


def test_the_number_of_members_is_limited() -> None:
    assert Extras({str(number): number for number in range(32)})
    with pytest.raises(InvalidValue, match="32 additional members"):
        Extras({str(number): number for number in range(33)})


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_their_size_is_limited_in_bytes(letter: str) -> None:
    room = (4096 - len('{"a":""}')) // len(letter.encode())
    assert Extras({"a": letter * room})
    with pytest.raises(InvalidValue, match="4096 bytes"):
        Extras({"a": letter * (room + 1)})


@pytest.mark.parametrize(
    "value", ["a\0b", "\ud800", ["\0"], {"\0": 1}, {"a": {"b": ["\udfff"]}}, math.inf, [-math.inf], math.nan]
)
def test_what_no_database_can_store_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue):
        Extras({"a": value})
    if isinstance(value, str):
        with pytest.raises(InvalidValue):
            Extras({value: 1})


def test_a_merge_is_limited_by_what_it_leaves() -> None:
    full = merged(None, {str(number): number for number in range(32)})
    assert merged(full, {"0": None, "new": 1})
    with pytest.raises(InvalidValue):
        merged(full, {"new": 1})
