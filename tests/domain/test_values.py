"""Values are valid by construction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.values import Description, TaskId, Title, UserId
from tests.strategies import any_text


@pytest.mark.parametrize(("value", "shortest", "longest"), [(Title, 1, 255), (Description, 0, 5000), (UserId, 1, 255)])
def test_text_length_is_limited_in_code_points(
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
def test_text_with_nul_or_an_unpaired_surrogate_is_refused(
    value: type[Title | Description | UserId], text: str
) -> None:
    with pytest.raises(InvalidValue):
        value(text)


def test_a_title_is_stripped_before_its_length_is_checked() -> None:
    assert Title("\t Buy milk \n") == "Buy milk"
    assert Title(" " * 1000 + "x" * 255) == "x" * 255
    with pytest.raises(InvalidValue):
        Title(" \u2003\n")


def test_descriptions_and_user_ids_are_kept_unchanged() -> None:
    assert Description(" two\n lines ") == " two\n lines "
    assert UserId("Bob ") == "Bob "


@given(any_text)
def test_every_title_that_can_be_constructed_is_valid(text: str) -> None:
    try:
        title = Title(text)
    except InvalidValue:
        return
    assert 1 <= len(title) <= 255
    assert title == title.strip()
    assert "\0" not in title
    assert title.encode().decode() == title


@given(any_text)
def test_an_error_names_the_field_and_never_repeats_the_value(text: str) -> None:
    with pytest.raises(InvalidValue) as error:
        Title("secret" + text + "\0")
    assert "secret" not in str(error.value)
    assert error.value.field == "title"


@given(st.integers(1, 2**53 - 1))
def test_a_task_id_is_an_integer_that_javascript_represents_exactly(number: int) -> None:
    assert TaskId(number) == number == int(float(number))


@pytest.mark.parametrize("number", [0, -1, 2**53, 2**63, 10**400])
def test_task_ids_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(InvalidValue):
        TaskId(number)


def test_values_equal_plain_strings_and_integers() -> None:
    assert (Title("a"), UserId("b"), TaskId(3)) == ("a", "b", 3)
