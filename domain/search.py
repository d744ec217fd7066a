"""Case-insensitive search, the same in every engine of regular expressions and in every locale."""

import re
from functools import cache

from domain.task import Task
from domain.values import Text


class SearchText(Text):
    """Text to find in titles and descriptions, literally but in any case."""

    __slots__ = ()
    FIELD = "search"
    SHORTEST, LONGEST = 1, 255

    @property
    def pattern(self) -> str:
        """The text as a regular expression: one bracket expression for each character, holding all of its cases.

        Only `[...]` and `\\Uxxxxxxxx` occur in it, which Python and POSIX engines with escapes read alike.
        """
        return "".join(f"[{''.join(map(_escaped, _all_cases(character)))}]" for character in self)

    def found_in(self, task: Task) -> bool:
        return any(re.search(self.pattern, text) for text in (task.title, task.description or ""))


def _escaped(character: str) -> str:
    return f"\\U{ord(character):08x}"


def _all_cases(character: str) -> str:
    return _cases_by_lower().get(_lower(character), character)


@cache
def _cases_by_lower() -> dict[str, str]:
    """Lower-case letter to all letters that differ from it by case only, of every script below U+AC00.

    Some have three cases, such as the Greek sigma. U+AC00 and above: Hangul, without cases, and rare historic scripts.
    """
    cases: dict[str, str] = {}
    for character in map(chr, range(0xAC00)):
        cases[_lower(character)] = cases.get(_lower(character), "") + character
    return cases


def _lower(character: str) -> str:
    """By way of upper case, which several lower-case letters may share. A character that would become several stays."""
    for lower in (character.upper().lower(), character.lower()):
        if len(lower) == 1:
            return lower
    return character
