"""What is wrong with settings, in our words: lines of `.env`, misspelt names, invalid values."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dotenv.parser import parse_stream
from pydantic_core import ErrorDetails

_OTHERS = {"BETTER_AUTH_SECRETS", "LOGLEVEL"}
"""Names one edit away from ours that mean something else: to Better Auth itself, and to many programs."""


def unparsable_line(file: Path) -> int | None:
    """The first line that cannot be parsed; skipping one that sets DATABASE_URL would serve another database. None if
    there is none, or no file."""
    if not file.exists():
        return None
    with file.open(encoding="utf-8") as lines:
        return next((binding.original.line for binding in parse_stream(lines) if binding.error), None)


def misspelt_names(variables: Mapping[str, str | None], names: Iterable[str]) -> Iterator[str]:
    """A line for each name that is one edit away from a setting which is not set itself: it was meant for that."""
    given = {name.upper() for name, value in variables.items() if value}
    ours = {name.upper() for name in names}
    for name in sorted(given - ours - _OTHERS):
        for setting in sorted(ours - given):
            if _one_edit_apart(name, setting):
                yield f"{name}: is not a setting; did you mean {setting}?"


def _one_edit_apart(one: str, other: str) -> bool:
    """Whether adding, removing, replacing or swapping one character turns one into the other, a different name."""
    if len(one) == len(other):
        differing = [place for place in range(len(one)) if one[place] != other[place]]
        first, last = differing[0], differing[-1]
        return first == last or (first + 1 == last and one[first : last + 1] == other[first : last + 1][::-1])
    shorter, longer = sorted((one, other), key=len)
    return any(shorter == longer[:place] + longer[place + 1 :] for place in range(len(longer)))


def lines(error: ErrorDetails) -> list[str]:
    """What is wrong with one setting, in our words: pydantic's name its types, and change with its versions."""
    context = error.get("ctx", {})
    match error["type"]:
        case "bool_parsing":
            reason = "must be true or false"
        case "literal_error":
            reason = "must be " + context["expected"].replace("'", "")
        case _:
            reason = str(context.get("error") or error["msg"])
    return [f"{error['loc'][0]}".upper() + f": {line}" for line in reason.splitlines()]
