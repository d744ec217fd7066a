"""What the process writes about itself: JSON for machines, lines for a person at a terminal."""

import logging
import sys
from datetime import UTC, datetime

import orjson
import structlog
from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.typing import EventDict, Processor


def configure() -> None:
    """Every line goes to standard error, uvicorn's and the libraries' own words (warnings and worse) included."""
    if sys.stderr.isatty():
        _write(
            TimeStamper("%H:%M:%S", utc=False),
            render=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)],
            to=structlog.PrintLoggerFactory(sys.stderr),
        )
    else:
        _write(
            _time,
            render=[format_exc_info, JSONRenderer(_json)],
            to=structlog.WriteLoggerFactory(sys.stderr),
        )


def _time(_logger: object, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = datetime.now(UTC)
    return event


def _json(event: object, **_: object) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_UTC_Z).decode()


def _write(time: Processor, *, render: list[Processor], to: structlog.typing.WrappedLogger) -> None:
    shared: list[Processor] = [structlog.stdlib.add_log_level, time]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=to,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
