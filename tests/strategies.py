"""Hypothesis strategies: ordinary values, edge cases, and values that are easily confused."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from domain.extras import merged
from domain.listing import Selection, Sort
from domain.search import SearchText
from domain.task import Changes, Draft, Task
from domain.values import Description, IdempotencyKey, TaskId, Title, UserId

STORABLE = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
AWKWARD = st.sampled_from(
    ["\0", "\ud800", "a\0b", "\udfff", "", " ", "\t\n", "x" * 256, "é" * 255, "😀" * 255, "'; --", "%"]
)
"""Text that is invalid for some value, or looks as if it were."""

any_text = AWKWARD | st.text(max_size=300)
titles = st.text(STORABLE, min_size=1, max_size=255).filter(lambda text: text.strip()).map(Title)
descriptions = st.none() | st.text(STORABLE, max_size=5000).map(Description)
owners = st.sampled_from(["bob", "Bob", "bob ", " bob", "bób", "bo", "bobb", "b'ob", "1", "01"]).map(UserId)
times = st.timedeltas(timedelta(0), timedelta(days=7300)).map(lambda time: datetime(2020, 1, 1, tzinfo=UTC) + time)
_names = st.sampled_from(["priority", "due_date", "tags", "Priority", "é😀", "", '"', "\\", "__proto__"]) | st.text(
    STORABLE, max_size=5
)
_numbers = (
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 1e16, 1e300, 5e-324])
)
_json = st.recursive(
    st.none() | st.booleans() | _numbers | st.text(STORABLE, max_size=5) | st.sampled_from(["\\u0000", "\x7f", "'{}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=5,
)
extra_members = st.dictionaries(_names, _json, max_size=4)
extras = extra_members.map(lambda members: merged(None, members))
drafts = st.builds(Draft, titles, descriptions, st.booleans(), extras)
changes = st.fixed_dictionaries(
    {},
    optional={
        "title": titles,
        "description": descriptions,
        "completed": st.booleans(),
        "toggled": st.just(True),
        "extras": extra_members,
    },
).map(lambda sent: Changes(**sent))  # type: ignore[typeddict-item]

keys = st.sampled_from(["1", "01", "k", "K", "k ", "'"]).map(IdempotencyKey)
selections = st.builds(
    Selection,
    st.none() | st.booleans(),
    st.none() | st.text(STORABLE, min_size=1, max_size=3).map(SearchText),
    st.sampled_from(Sort),
    st.booleans(),
)


@st.composite
def _tasks(draw: st.DrawFn) -> Task:
    created_at = draw(times)
    return Task(
        id=TaskId(draw(st.integers(1, TaskId.LARGEST))),
        user_id=draw(owners),
        title=draw(titles),
        description=draw(descriptions),
        completed=draw(st.booleans()),
        extras=draw(extras),
        created_at=created_at,
        updated_at=created_at + draw(st.timedeltas(timedelta(0), timedelta(days=365))),
    )


tasks = _tasks()
