"""What counts as an outage of the database, in the metric `todo_database_up` and in the log."""

from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from adapters.postgres.failures import Health


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(recovery=1, expiry=60, now=clock)


def test_an_outage_ends_with_a_success_a_second_after_the_last_failure(health: Health, clock: Clock) -> None:
    assert health.available
    health.failed("connection lost")
    health.succeeded()
    assert not health.available, "one success between failures proves nothing"
    clock.seconds += 1
    health.succeeded()
    assert health.available
    assert health.failures == 1


def test_without_traffic_an_outage_stops_counting_a_minute_after_the_last_failure(health: Health, clock: Clock) -> None:
    health.failed("connection lost")
    clock.seconds += 30
    health.failed("connection lost")
    clock.seconds += 59
    assert not health.available
    clock.seconds += 1
    assert health.available
    health.failed("connection lost")
    assert not health.available


def logged(health: Health, clock: Clock, *steps: tuple[float, str]) -> list[Any]:
    """The log of failures and successes at these seconds."""
    started = clock.seconds
    with capture_logs() as lines:
        for at, step in steps:
            clock.seconds = started + at
            health.succeeded() if step == "succeeded" else health.failed(step)
    return lines


def test_the_log_has_the_seconds_until_the_recovery(
    health: Health, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.postgres.failures._log", structlog.get_logger())
    lines = logged(health, clock, (0, "connection lost"), (20, "succeeded"), (21, "succeeded"))
    assert lines == [
        {"event": "database unavailable", "log_level": "warning", "cause": "connection lost"},
        {"event": "database available", "log_level": "warning", "failures": 1, "seconds": 20.0},
    ]
    lines = logged(health, clock, (0, "a"), (0.3, "succeeded"), (0.5, "b"), (1, "succeeded"), (2, "succeeded"))
    assert [(line["event"], line.get("seconds")) for line in lines] == [
        ("database unavailable", None),
        ("database available", 1.0),
    ]


def test_an_outage_without_traffic_is_logged_once(
    health: Health, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.postgres.failures._log", structlog.get_logger())
    lines = logged(health, clock, (0, "a"), (3600, "b"), (7200, "succeeded"))
    assert [(line["event"], line.get("seconds")) for line in lines] == [
        ("database unavailable", None),
        ("database available", 7200.0),
    ]
