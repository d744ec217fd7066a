"""Counters and durations of HTTP requests. Plain numbers, because counting is part of every request."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the histogram's buckets, in seconds."""

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NONE, OTHER = "none", "other"


class Durations:
    """Histogram of request durations for one combination of method, route and status."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        """Requests per bucket, not cumulative; the last one is for those above all bounds."""
        self.seconds = 0.0
        """Sum of all durations."""


class RequestCounts:
    """Requests of one process since its start.

    No client can inflate the number of series: routes and methods are the known ones, or `none` and `other`.
    """

    def __init__(self, codes: Iterable[str] = ()) -> None:
        """`codes` are reported as 0 until they occur, so that the first error of each is an increase too."""
        self.in_progress = 0
        self.ended: dict[tuple[str, str, int], Durations] = defaultdict(Durations)
        """Keyed by method, route and status."""
        self.errors: Counter[str] = Counter(dict.fromkeys(codes, 0))
        """Keyed by problem code."""

    def begin(self) -> None:
        self.in_progress += 1

    def end(self, method: str, route: str | None, status: int, seconds: float, code: str | None) -> None:
        """`status` is 0 if the client disconnected before the response began; `code` is that of an error response."""
        self.in_progress -= 1
        ended = self.ended[method if method in _METHODS else OTHER, route or NONE, status]
        ended.counts[bisect_left(BUCKETS, seconds)] += 1
        ended.seconds += seconds
        if code:
            self.errors[code] += 1
