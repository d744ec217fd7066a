"""`todo serve`: everything from an empty folder to a listening process, and back without leaving anything behind."""

import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType

import typer
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload

from adapters.better_auth.identity import sign
from adapters.postgres import schema
from domain.errors import StorageUnavailable
from domain.values import UserId
from entrypoints import settings
from entrypoints.cli import zero_config as first_run
from entrypoints.observability import logs
from entrypoints.server.draining import DrainingProtocol
from entrypoints.server.server import Server
from entrypoints.server.workers import Workers
from entrypoints.settings import Settings

DRAIN_SECONDS = 8  # that requests in flight have to finish after SIGTERM
KEEP_ALIVE_SECONDS = 75  # longer than the proxies in front wait, or they reuse a connection that is being closed


class CannotListen(Exception):
    """The message says why, and what to do about it."""


class NotMigrated(Exception):
    """The message says what to run first."""


def serve(host: str, port: int, *, workers: int, reload: bool) -> None:
    """Returns, or raises SystemExit(0), after SIGTERM or SIGINT, with every request answered that had been accepted."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)  # uvicorn raises the signal once more when it is done: clean up, then exit 0
    logs.configure()
    configured = settings.load()
    with (
        _bound(host, port) as listener,
        _exposing(configured) as metrics,
        first_run.with_database(configured) as settled,
    ):
        _see_to_schema(configured, settled)
        _hand_down(settled)
        _run(listener, workers, reload, opened=partial(_greet, configured, settled, listener, metrics))


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """Before anything slow is done for a port that is taken. Does not listen yet: whoever asks would have to wait."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        listener.bind((host, port))
    except OSError as refusal:
        listener.close()
        why = {
            errno.EADDRINUSE: f"Port {port} is in use: stop what listens there, or choose another one "
            f"with --port {port + 1} (make run PORT={port + 1}).",
            errno.EACCES: f"Port {port} is reserved for root: choose one above 1023.",
        }
        raise CannotListen(why.get(refusal.errno or 0, f"Cannot listen at {host}: {refusal.strerror}.")) from None
    with listener:
        yield listener


@contextmanager
def _exposing(configured: Settings) -> Iterator[str | None]:
    """The address of the metrics, where they are wanted."""
    if configured.metrics_port is None:
        yield None
        return
    from entrypoints.observability.exporter import exposed

    host, port = configured.metrics_host, configured.metrics_port
    with ExitStack() as exposing:
        try:
            port = exposing.enter_context(exposed(host, port))
        except OSError as refusal:
            raise CannotListen(
                f"Cannot listen at METRICS_HOST {host}, METRICS_PORT {port}: {refusal.strerror}."
            ) from None
        yield f"{_address(host, port)}/metrics"


def _address(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _see_to_schema(configured: Settings, settled: Settings) -> None:
    """Migrates the private database; never somebody's own in passing. One that is away is waited for."""
    try:
        outdated = schema.needs_migration(schema.revision(settled.conninfo))
    except StorageUnavailable:
        typer.echo("The database does not answer yet. Serving anyway; /readyz tells when it does.", err=True)
        return
    if outdated and configured.database_url is not None:
        raise NotMigrated("The database's schema is not up to date: run `todo migrate` first.")
    if outdated:
        schema.migrate(settled.conninfo)


def _hand_down(settled: Settings) -> None:
    """To the processes that serve: they read the environment like any other."""
    assert settled.database_url is not None
    os.environ["DATABASE_URL"] = settled.database_url.get_secret_value()
    os.environ["BETTER_AUTH_SECRET"] = ",".join(settled.secrets)


def _greet(configured: Settings, settled: Settings, listener: socket.socket, metrics: str | None) -> None:
    address = _address(*listener.getsockname()[:2])
    lines = [f"Listening at  {address}"]
    if metrics:
        lines += [f"Metrics at    {metrics}"]
    lines += [f"Docs at       {address}/docs"]
    if configured.database_url is None:
        lines += [f"Data in       {first_run.FOLDER.absolute()}"]
    if settled.better_auth_secret != configured.better_auth_secret:
        token = sign(UserId("me"), settled.secrets[0], settled.expected, seconds=7 * 86400)
        lines += [
            "",
            "No Better Auth is configured, so here is a token for development (7 days). Try it:",
            "",
            f"curl {address}/api/tasks \\",
            "  -H 'Content-Type: application/json' -d '{\"title\": \"Buy milk\"}' \\",
            f"  -H 'Authorization: Bearer {token}'",
        ]
    typer.echo("\n".join(["", *lines, ""]))


def _run(listener: socket.socket, workers: int, reload: bool, opened: Callable[[], None]) -> None:
    config = uvicorn.Config(
        "entrypoints.http.app:from_environment",
        factory=True,
        http=DrainingProtocol,
        ws="none",
        lifespan="on",
        workers=workers,
        reload=reload,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    if reload:
        opened()
        ChangeReload(config, target=Server(config).run, sockets=[listener]).run()
    elif workers > 1:
        supervisor = Workers(config, [listener], opened)
        supervisor.run()
        if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
            sys.exit(STARTUP_FAILURE)
    else:
        Server(config, opened).run(sockets=[listener])
