import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.search import SearchText
from domain.values import Description, TaskId, Title, UserId
from tests.strategies import any_text


@pytest.mark.parametrize(("value", "shortest", "longest"), [(Title, 1, 255), (Description, 0, 5000), (UserId, 1, 255)])
def test_text_has_its_limits_in_code_points(
    value: type[Title | Description | UserId], shortest: int, longest: int
) -> None:
    assert len(value("x" * shortest)) == shortest
    assert len(value("😀" * longest)) == longest
    with pytest.raises(InvalidValue):
        value("😀" * (longest + 1))


@pytest.mark.parametrize("value", [Title, UserId])
def test_a_title_and_a_user_id_cannot_be_empty(value: type[Title | UserId]) -> None:
    with pytest.raises(InvalidValue):
        value("")


@pytest.mark.parametrize("value", [Title, Description, UserId])
@pytest.mark.parametrize("text", ["\0", "a\0", "\ud800", "a\udfffb"])
def test_text_that_postgresql_cannot_store_is_refused(value: type[Title | Description | UserId], text: str) -> None:
    with pytest.raises(InvalidValue):
        value(text)


def test_blanks_around_a_title_are_dropped_before_it_is_measured() -> None:
    assert Title("\t Buy milk \n") == "Buy milk"
    assert Title(" " * 1000 + "x" * 255) == "x" * 255
    with pytest.raises(InvalidValue):
        Title(" \u2003\n")


def test_a_description_and_a_user_id_are_kept_as_they_came() -> None:
    assert Description(" two\n lines ") == " two\n lines "
    assert UserId("Bob ") == "Bob "


@given(any_text)
def test_a_title_is_storable_or_not_made(text: str) -> None:
    try:
        title = Title(text)
    except InvalidValue:
        return
    assert 1 <= len(title) <= 255
    assert title == title.strip()
    assert "\0" not in title
    assert title.encode().decode() == title


@given(any_text)
def test_a_refusal_never_repeats_the_value(text: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        Title("secret" + text + "\0")
    assert "secret" not in str(refusal.value)
    assert refusal.value.field == "title"


@given(st.integers(1, 2**53 - 1))
def test_a_task_id_is_a_number_that_a_browser_holds_exactly(number: int) -> None:
    assert TaskId(number) == number == int(float(number))


@pytest.mark.parametrize("number", [0, -1, 2**53, 2**63, 10**400])
def test_other_numbers_are_no_task_ids(number: int) -> None:
    with pytest.raises(InvalidValue):
        TaskId(number)


def test_values_are_the_text_and_the_number_that_they_hold() -> None:
    assert (Title("a"), UserId("b"), TaskId(3)) == ("a", "b", 3)


def test_every_letter_is_found_as_it_stands_and_whatever_it_finds_finds_it() -> None:
    for letter in map(chr, range(1, sys.maxunicode + 1)):
        if letter.lower() != letter or letter.upper() != letter:
            either = {letter, letter.lower(), letter.upper()}
            found = {other for other in either if re.fullmatch(SearchText(letter).pattern, other)}
            assert letter in found
            assert all(re.fullmatch(SearchText(other).pattern, letter) for other in found)
