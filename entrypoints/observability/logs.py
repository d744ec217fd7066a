"""Logging setup: JSON for machines, readable lines at a terminal."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
import structlog
from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.typing import EventDict, Processor


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info", form: Literal["auto", "json", "text"] = "auto"
) -> None:
    """Sends log output to standard error: ours from this level, that of libraries from WARNING at least.

    `auto` is text at a terminal, and JSON elsewhere.
    """
    minimum = logging.getLevelNamesMapping()[level.upper()]
    if form == "text" or (form == "auto" and sys.stderr.isatty()):
        _configure(
            minimum,
            TimeStamper("%H:%M:%S", utc=False),
            renderers=[_Lines()],
            factory=structlog.PrintLoggerFactory(sys.stderr),
        )
    else:
        _configure(
            minimum,
            _timestamp,
            renderers=[format_exc_info, JSONRenderer(_json)],
            factory=structlog.WriteLoggerFactory(sys.stderr),
        )


def mute() -> None:
    """Discards all log output, for commands that report the same faults themselves."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[_drop])
    logging.basicConfig(level=logging.CRITICAL + 1, force=True)


def _drop(_logger: object, _method: str, _event: EventDict) -> EventDict:
    raise structlog.DropEvent


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


def _configure(
    minimum: int, timestamp: Processor, *, renderers: list[Processor], factory: structlog.typing.WrappedLogger
) -> None:
    shared: list[Processor] = [structlog.stdlib.add_log_level, timestamp]
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(level=max(minimum, logging.WARNING), handlers=[handler], force=True)
