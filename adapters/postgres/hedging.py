"""Hedged attempts to connect: the network may have dropped one that stays silent."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from adapters.postgres.connection import Connection


async def connect(attempt: Callable[[], Coroutine[Any, Any, Connection]], hedge: float) -> Connection:
    """The connection of the first attempt that succeeds. Another begins whenever the last has been silent for `hedge`
    seconds, and the one before that is given up. Raises what the first failed attempt raises."""
    attempts: list[asyncio.Task[Connection]] = []
    try:
        while True:
            attempts.append(asyncio.create_task(attempt()))
            finished, _ = await asyncio.wait(attempts, timeout=hedge, return_when=asyncio.FIRST_COMPLETED)
            for successful in finished:
                if not successful.exception():
                    attempts.remove(successful)
                    return successful.result()
            if finished:
                return finished.pop().result()  # raises
            for silent in attempts[:-1]:
                attempts.remove(silent)
                _give_up(silent)
    finally:
        for other in attempts:
            _give_up(other)


def _give_up(attempt: "asyncio.Task[Connection]") -> None:
    attempt.cancel()
    attempt.add_done_callback(_close)


def _close(attempt: "asyncio.Task[Connection]") -> None:
    """Also if it succeeded in the meantime: the event loop knows the socket of an open connection and keeps both."""
    if not attempt.cancelled() and not attempt.exception():
        attempt.result().close()
