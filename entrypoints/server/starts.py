"""Which requests begin in a turn of the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

MAX_STARTS = 16  # requests; a turn then takes a few milliseconds


class Starts:
    """Begins at most MAX_STARTS requests in each turn of the event loop, in the order of their arrival.

    A request takes several turns, and each one takes as long as all that happens in it. If hundreds of connections
    repeat a cheap request, those that only wait for their next step would wait for all of them, every time.
    """

    def __init__(self) -> None:
        self._begun = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def begin(self, start: Callable[[], None]) -> None:
        if self._begun < MAX_STARTS:
            if not self._begun:
                asyncio.get_running_loop().call_soon(self._next_turn)
            self._begun += 1
            start()
        else:
            self._waiting.append(start)

    def _next_turn(self) -> None:
        self._begun = 0
        for _ in range(min(MAX_STARTS, len(self._waiting))):
            self.begin(self._waiting.popleft())
