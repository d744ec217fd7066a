"""What failures of PostgreSQL mean: by SQLSTATE for one statement, and over time for the whole database."""

import re
import time
from collections.abc import Callable, Collection

import psycopg
import structlog

from domain.errors import StorageUnavailable

_log = structlog.get_logger()

# SQLSTATEs and classes of them (PostgreSQL's manual, appendix A).
QUERY_CANCELED = "57014"
STALE_PLAN = "0A000"  # "cached plan must not change result type", of a prepared statement: a column's type has changed
UNPREPARED = {STALE_PLAN, "26000", "42P05"}  # does not exist, exists already
"""Of a prepared statement that was not executed, and would be if it were sent unprepared."""
_ROLLED_BACK = {"40001", "40P01"}  # serialization failure, deadlock
_UNAVAILABLE = {
    "08",  # connection exceptions
    "53",  # insufficient resources
    "57",  # operator intervention
    "58",  # system errors
    "25006",  # read-only transaction
    "42501",  # insufficient privilege: until the role has it
    "55P03",  # lock not available
}
_SHUTDOWN = {"57P01", "57P02", "57P03"}  # while the commit waits for a standby, it may be done already

# Of a cluster, where another node than the one that reports the error may have committed.
_UNKNOWN_IN_CLUSTER = {"08", "57", "58", "XX"}
_ROLLED_BACK_IN_CLUSTER = {"23505"}  # unique violation: two sessions have drawn the same ID for one owner
_UNAVAILABLE_IN_CLUSTER = {"55", "42P01"}  # an object's state, an undefined table: a shard that is being moved


_REFUSALS = (
    (r'FATAL: +database "', "the database does not exist"),
    (r"authentication|password|pg_hba\.conf|role ", "authentication failed"),
    (r"SSL|certificate|channel binding", "TLS failed"),
    (r"resolve host", "the host is unknown"),
)
"""Words of libpq and PostgreSQL, because a connection that is refused has no SQLSTATE, and what they mean."""


class OutcomeUnknown(Exception):
    """The statement was sent and the connection was lost before the result arrived: it may have been executed."""


class StatementRefused(RuntimeError):
    """PostgreSQL rejected the statement and rolled it back: a bug, or data that the database cannot hold.

    Names the SQLSTATE only, because PostgreSQL's message may quote a task.
    """

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"PostgreSQL rejected a statement: SQLSTATE {sqlstate}")
        self.sqlstate = sqlstate


def is_rolled_back(sqlstate: str | None, *, in_cluster: bool = False) -> bool:
    """Whether the statement certainly had no effect and would succeed if sent again."""
    return sqlstate in _ROLLED_BACK or (in_cluster and sqlstate in _ROLLED_BACK_IN_CLUSTER)


def classify(sqlstate: str | None, *, in_cluster: bool = False) -> Exception:
    """The exception for a failed statement; None where the connection was lost without a SQLSTATE.

    StatementRefused for all that are neither StorageUnavailable nor OutcomeUnknown. `in_cluster`: the node connected to
    is not always the one that executes and commits.
    """
    if sqlstate is None or sqlstate in _SHUTDOWN or (in_cluster and _is_in(_UNKNOWN_IN_CLUSTER, sqlstate)):
        return OutcomeUnknown()
    if _is_in(_UNAVAILABLE, sqlstate) or is_rolled_back(sqlstate, in_cluster=in_cluster):
        return StorageUnavailable()
    if in_cluster and _is_in(_UNAVAILABLE_IN_CLUSTER, sqlstate):
        return StorageUnavailable()
    return StatementRefused(sqlstate)


def _is_in(states: Collection[str], sqlstate: str) -> bool:
    return sqlstate in states or sqlstate[:2] in states


def first_line(error: psycopg.Error) -> str:
    """What libpq and the server say, for operators: it names host, role and database, and never contains the password.
    The lines after it repeat the same for each host."""
    return str(error).partition("\n")[0].strip()


def kind_of_refusal(message: str) -> str:
    """Why a connection was refused, for anybody: names neither host nor role nor database."""
    return next((kind for words, kind in _REFUSALS if re.search(words, message)), "cannot connect")


class Health:
    """Whether the database is available. Logs one line per change, however many statements fail.

    It counts as available again when a statement succeeds `recovery` seconds or more after the last failure. If no
    statement is sent, it does so `expiry` seconds after it: whether the outage lasts is not known then.
    """

    def __init__(self, recovery: float, expiry: float, now: Callable[[], float] = time.monotonic) -> None:
        self.failures = 0
        """Statements since the start that failed because of the database or the connection."""
        self._recovery = recovery
        self._expiry = expiry
        self._now = now
        self._failures_of_outage = 0
        self._began = self._last_failure = 0.0
        self._recovered: float | None = None
        """When the first statement after the last failure succeeded."""

    @property
    def available(self) -> bool:
        return not self._failures_of_outage or self._now() - self._last_failure >= self._expiry

    def failed(self, cause: str) -> None:
        self.failures += 1
        self._last_failure = self._now()
        self._recovered = None
        if not self._failures_of_outage:
            self._began = self._last_failure
            _log.warning("database unavailable", cause=cause)
        self._failures_of_outage += 1

    def succeeded(self) -> None:
        if not self._failures_of_outage:
            return
        now = self._now()
        if self._recovered is None:
            self._recovered = now
        if now - self._last_failure >= self._recovery:
            seconds = round(self._recovered - self._began, 1)
            _log.warning("database available", failures=self._failures_of_outage, seconds=seconds)
            self._failures_of_outage = 0
