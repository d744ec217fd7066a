"""Logging setup: JSON for machines, readable lines at a terminal."""

import atexit
import logging
import os
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
import structlog
from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.typing import EventDict, Processor

from entrypoints.observability.log_writer import LogWriter, Repeats

_NOT_WRITTEN = "log lines not written"

_log = structlog.get_logger()
_writer: LogWriter | None = None


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info", form: Literal["auto", "json", "text"] = "auto"
) -> None:
    """Sends log output to standard error: ours from this level, that of libraries from WARNING at least.

    `auto` is text at a terminal, and JSON elsewhere. Writing never blocks or fails: lines that nobody reads in time,
    and more than MAX_REPEATS a second of one kind, are counted instead, and the counts are logged.
    """
    global _writer
    if _writer is None:
        _writer = LogWriter(_standard_error(), _report)
        atexit.register(flush)
    minimum = logging.getLevelNamesMapping()[level.upper()]
    if form == "text" or (form == "auto" and sys.stderr.isatty()):
        _configure(
            minimum,
            TimeStamper("%H:%M:%S", utc=False),
            renderers=[_Lines()],
            writer=_writer,
        )
    else:
        _configure(
            minimum,
            _timestamp,
            renderers=[format_exc_info, JSONRenderer(_json)],
            writer=_writer,
        )


def _standard_error() -> int:
    """Where it was closed, its number may belong to another file by now."""
    return os.open(os.devnull, os.O_WRONLY) if sys.stderr is None else sys.stderr.fileno()


def flush() -> None:
    """Waits a second at most until all lines are written. At exit this happens by itself, but not after a signal."""
    if _writer is not None:
        _writer.drain()


def _report(missing: Counter[str]) -> None:
    for kind, lines in [*missing.items()]:  # another thread may still be counting
        _log.warning(_NOT_WRITTEN, kind=kind, lines=lines)


def mute() -> None:
    """Discards all log output, for commands that report the same faults themselves."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[_drop])
    logging.basicConfig(level=logging.CRITICAL + 1, force=True)


def _drop(_logger: object, _method: str, _event: EventDict) -> EventDict:
    raise structlog.DropEvent


class _RepeatFilter:
    """Counts lines instead of writing them, if there are too many of their kind: of one event, and error code.

    Requests that succeeded are all written.
    """

    def __init__(self, writer: LogWriter) -> None:
        self._repeats = Repeats()
        self._missing = writer.missing

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        kind, code = event["event"], event.get("code")
        if code is None and kind in ("request", _NOT_WRITTEN):
            return event
        if not self._is_written(f"{kind}: {code}" if code else kind):
            raise structlog.DropEvent
        return event

    def filter(self, record: logging.LogRecord) -> bool:
        return self._is_written(str(record.msg).partition("\n")[0])

    def _is_written(self, kind: str) -> bool:
        if self._repeats.is_too_many(kind):
            self._missing(kind)
            return False
        return True


class _Lines:
    """One readable line per event. That of a request leaves out its IDs, so that it fits."""

    def __init__(self) -> None:
        self._others = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )

    def __call__(self, logger: Any, method: str, event: EventDict) -> str:
        if "route" not in event:
            return self._others(logger, method, event)
        columns = [
            event["timestamp"],
            event["method"],
            event["route"] or "-",
            str(event["status"]),
            f"{event['milliseconds']} ms",
            event.get("code", ""),
        ]
        return " ".join(columns).rstrip()


def _timestamp(_logger: object, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = datetime.now(UTC)
    return event


def _json(event: object, **_: object) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_UTC_Z).decode()


def _configure(minimum: int, timestamp: Processor, *, renderers: list[Processor], writer: LogWriter) -> None:
    shared: list[Processor] = [structlog.stdlib.add_log_level, timestamp]
    repeats = _RepeatFilter(writer)
    structlog.configure(
        processors=[repeats, *shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(writer)
    handler.addFilter(repeats.filter)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(level=max(minimum, logging.WARNING), handlers=[handler], force=True)
