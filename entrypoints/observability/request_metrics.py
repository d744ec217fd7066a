"""Requests, counted as they end: by plain numbers, because this is in every request's way."""

from bisect import bisect_left
from collections import Counter, defaultdict

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds, by which durations are sorted."""

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NONE, OTHER = "none", "other"


class Durations:
    """Of requests of one kind."""

    __slots__ = ("numbers", "seconds")

    def __init__(self) -> None:
        self.numbers = [0] * (len(BOUNDS) + 1)
        """How many took no longer than each of the bounds but longer than the one before, and how many still longer."""
        self.seconds = 0.0
        """That all of them took together."""


class RequestCounts:
    """Of one process, since its start. No caller can make them many: routes and methods are those that we know."""

    def __init__(self) -> None:
        self.in_progress = 0
        self.ended: dict[tuple[str, str, int], Durations] = defaultdict(Durations)
        """By method, route and status."""
        self.errors: Counter[str] = Counter()
        """By code."""

    def begin(self) -> None:
        self.in_progress += 1

    def end(self, method: str, route: str | None, status: int, seconds: float, code: str | None) -> None:
        """`status` is 0 where the client left before there was an answer; `code` is that of an error."""
        self.in_progress -= 1
        ended = self.ended[method if method in _METHODS else OTHER, route or NONE, status]
        ended.numbers[bisect_left(BOUNDS, seconds)] += 1
        ended.seconds += seconds
        if code:
            self.errors[code] += 1
