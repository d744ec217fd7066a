"""Timeouts of calls and statements."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """In seconds."""

    call: float = 4.5
    """Budget of one call: waiting for a connection, connecting, executing, retrying."""
    attempt: float = 1.5
    """Execution of a statement, after which it is cancelled and, where that is harmless, sent again."""
    cancel: float = 0.3
    """Cancelling a statement, and as long again for the server to confirm it, before the connection is closed."""
    connect: float = 1.5
    """Retrying to connect, counted from the first refusal: a compute wakes up, a server restarts."""
    hedge: float = 1.2
    """A silent attempt to connect, after which another one is made beside it: the network may have dropped it."""
    ready: float = 1.0
    """The readiness check."""
    recovery: float = 1.0
    """Without a failure, after which the database counts as available again when a statement succeeds."""
    expiry: float = 60.0
    """Without any statement after a failure, after which the database no longer counts as unavailable."""
    slow_statement: float = 0.005
    """Execution of a statement, after which it no longer holds up the next batch."""


DEFAULTS = Timeouts()
