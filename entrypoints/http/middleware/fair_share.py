"""Shares the process between its callers."""

import asyncio
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

from domain.errors import TooManyRequests
from domain.values import UserId
from entrypoints.http.context import context

MAX_IN_PROGRESS = 32  # requests; as many as share a batch, so one caller alone loses nothing
MAX_WAIT = 1.5  # seconds; with the 4.5 of a call to the database, a response comes within 6
PENALTY = 1  # seconds until a request is refused that was one too many; clients that repeat it at once get no faster


class FairShare:
    """At most `most` requests of one caller are in progress. More of them wait, in the order of their arrival, with
    their bodies unread. Raises TooManyRequests after `max_wait` seconds; one that was refused keeps its place for
    `penalty` seconds.

    Every request in progress takes a part of each turn of the event loop, so without this, a caller with hundreds of
    connections delays each step of everybody's requests.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        most: int = MAX_IN_PROGRESS,
        max_wait: float = MAX_WAIT,
        penalty: float = PENALTY,
    ) -> None:
        self._app = app
        self._most, self._max_wait, self._penalty = most, max_wait, penalty
        self._shares: dict[UserId, _Share] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = context(scope).caller if scope["type"] == "http" else None
        if caller is None:
            await self._app(scope, receive, send)
            return
        share = self._shares.get(caller)
        if share is None:
            share = self._shares[caller] = _Share(self._most, self._max_wait)
        try:
            await share.enter()
            try:
                await self._app(scope, receive, send)
            except TooManyRequests:
                await asyncio.sleep(self._penalty)
                raise
            finally:
                share.leave()
        finally:
            if not share.in_progress:
                self._shares.pop(caller, None)


class _Share:
    """Of one caller."""

    def __init__(self, most: int, max_wait: float) -> None:
        self.in_progress = 0
        self._most, self._max_wait = most, max_wait
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        if self.in_progress < self._most:
            self.in_progress += 1
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        timeout = loop.call_later(self._max_wait, _give_up, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and not turn.exception():
                self.leave()  # it had been given the turn already
            raise
        finally:
            timeout.cancel()

    def leave(self) -> None:
        """Passes the place on to the request that has waited for longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.in_progress -= 1


def _give_up(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_exception(TooManyRequests())
