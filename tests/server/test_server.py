"""What changes in the process while a server runs, and is restored afterwards."""

import gc
import signal
import socket
from collections.abc import Iterator

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess, multiprocess

from entrypoints.server import factory
from entrypoints.server.server import GracefulServer, ServerConfig
from entrypoints.server.workers import Workers


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in multiprocess.SIGNALS}
    yield
    gc.unfreeze()
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


async def test_garbage_collection_is_off_while_the_application_loads(listener: socket.socket) -> None:
    enabled: list[bool] = []

    def load() -> ASGIApp:
        enabled.append(gc.isenabled())
        return Response()

    def on_listening() -> None:
        enabled.append(gc.isenabled())
        server.should_exit = True

    config = ServerConfig(load, factory=True, interface="asgi3", lifespan="off", log_config=None)
    server = GracefulServer(config, on_listening)
    await server.serve([listener])
    assert enabled == [False, True]
    assert gc.isenabled()


async def test_garbage_collection_spares_the_loaded_application() -> None:
    frozen, thresholds = gc.get_freeze_count(), gc.get_threshold()
    try:
        async with factory._frozen_heap():
            assert gc.get_freeze_count() > frozen
            assert gc.get_threshold() == factory._thresholds(*thresholds)
        assert gc.get_threshold() == thresholds
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("default", [(700, 10, 10), (2000, 10, 10), (2000, 10, 0)])
def test_all_objects_are_scanned_about_as_often_as_by_default(default: tuple[int, int, int]) -> None:
    def allocations(young: int, middle: int, old: int) -> int:
        return young * (middle + 1) * (old + 1)

    assert factory._thresholds(*default)[0] == factory.YOUNG
    assert allocations(*factory._thresholds(*default)) == pytest.approx(allocations(*default), rel=0.6)


def test_uvicorn_s_worker_class_is_replaced_only_while_the_supervisor_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    original = multiprocess.Process
    used: list[type] = []

    def run(_: Multiprocess) -> None:
        used.append(multiprocess.Process)
        raise KeyboardInterrupt

    monkeypatch.setattr(Multiprocess, "run", run)
    supervisor = Workers(ServerConfig("never.loaded:app", workers=2, log_config=None), [], lambda: None)
    assert multiprocess.Process is original
    with pytest.raises(KeyboardInterrupt):
        supervisor.run()
    assert issubclass(used[0], original)
    assert used[0] is not original
    assert multiprocess.Process is original
