"""Which requests are logged; what a line holds is tested where `todo serve` writes it."""

from typing import Any

import pytest
from dependency_injector.providers import Callable

from domain.errors import StorageUnavailable
from entrypoints.http.middleware import request_log
from tests.http.conftest import client, container


class Recorder:
    def __init__(self) -> None:
        self.lines: list[tuple[object, object]] = []

    def info(self, _: str, **fields: Any) -> None:
        self.lines.append((fields["route"], fields["status"]))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(request_log, "_log", recorder)
    return recorder


async def _unreachable() -> None:
    raise StorageUnavailable


@pytest.mark.parametrize(
    ("chosen", "logged"),
    [
        ("on", [(None, 200), ("/readyz", 503), (None, 401)]),
        ("errors", [("/readyz", 503), (None, 401)]),
        ("off", []),
    ],
)
async def test_successful_probes_are_not_logged_and_the_rest_as_chosen(
    log: Recorder, chosen: str, logged: list[tuple[str | None, int]]
) -> None:
    wiring = container(access_log=chosen)
    async with client(wiring) as anyone:
        for path in ("/healthz", "/readyz", "/openapi.json"):
            assert (await anyone.get(path)).status_code == 200
        assert (await anyone.head("/healthz")).status_code == 200
    wiring.ping.override(Callable(_unreachable))
    async with client(wiring) as anyone:
        await anyone.get("/readyz")
        await anyone.get("/api/tasks")
    assert log.lines == logged
