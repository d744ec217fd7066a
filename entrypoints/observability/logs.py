"""Logging setup: JSON for machines, readable lines at a terminal."""

import logging
import sys
from datetime import UTC, datetime

import orjson
import structlog
from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.typing import EventDict, Processor


def configure() -> None:
    """Sends all log output to standard error: ours from level INFO, that of uvicorn and the libraries from WARNING."""
    if sys.stderr.isatty():
        _configure(
            TimeStamper("%H:%M:%S", utc=False),
            renderers=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)],
            factory=structlog.PrintLoggerFactory(sys.stderr),
        )
    else:
        _configure(
            _timestamp,
            renderers=[format_exc_info, JSONRenderer(_json)],
            factory=structlog.WriteLoggerFactory(sys.stderr),
        )


def _timestamp(_logger: object, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = datetime.now(UTC)
    return event


def _json(event: object, **_: object) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_UTC_Z).decode()


def _configure(timestamp: Processor, *, renderers: list[Processor], factory: structlog.typing.WrappedLogger) -> None:
    shared: list[Processor] = [structlog.stdlib.add_log_level, timestamp]
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
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
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
