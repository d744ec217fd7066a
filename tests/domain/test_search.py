"""Case-insensitive search."""

import re
import sys

from domain.search import SearchText


def test_every_letter_matches_itself_and_matching_is_symmetric() -> None:
    for letter in map(chr, range(1, sys.maxunicode + 1)):
        if letter.lower() != letter or letter.upper() != letter:
            cases = {letter, letter.lower(), letter.upper()}
            matched = {other for other in cases if re.fullmatch(SearchText(letter).pattern, other)}
            assert letter in matched
            assert all(re.fullmatch(SearchText(other).pattern, letter) for other in matched)
