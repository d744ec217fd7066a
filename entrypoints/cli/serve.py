"""`todo serve`: from an empty folder to a server that responds, and back without leaving anything behind."""

import errno
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload

from adapters.better_auth.http_client import http_client
from adapters.better_auth.identity import sign
from adapters.postgres import schema
from domain.errors import StorageUnavailable
from domain.values import UserId
from entrypoints import settings
from entrypoints.cli import zero_config
from entrypoints.observability import logs
from entrypoints.server import factory
from entrypoints.server.connections import Limits
from entrypoints.server.draining import DrainingHttpProtocol
from entrypoints.server.server import GracefulServer, ServerConfig
from entrypoints.server.workers import Workers
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from entrypoints.observability.exporter import Exporter

DRAIN_TIMEOUT = 8  # seconds that requests in flight have after SIGTERM
KEEP_ALIVE_TIMEOUT = 75  # seconds; longer than that of proxies in front, so that the proxy closes idle connections
RECEIVE_BUFFER = 64 * 1024  # bytes that the kernel takes from a client ahead of us, as many as a body may have
SEND_BUFFER = 256 * 1024  # bytes that it takes from us ahead of a client; what it refuses counts towards MAX_UNREAD

_SOURCES = [Path(__file__).parents[2] / room for room in ("domain", "application", "adapters", "entrypoints")]


class CannotListen(Exception):
    """The message says why, and what to do about it."""


class NotMigrated(Exception):
    """The database is not prepared for serving; the message says what to do first."""


def serve(host: str, port: int, *, workers: int, reload: bool, private: bool) -> None:
    """Returns, or raises what the caller's signal handlers raise, after SIGTERM or SIGINT, once every accepted request
    has been answered."""
    configured = settings.load()
    logs.configure(configured.log_level, configured.log_format)
    zero_config.require_database(configured, private=private, host=host, workers=workers)
    if configured.jwks_urls and (workers > 1 or reload):
        http_client()  # raises here what it would raise in each process
    with (
        _bound_socket(host, port) as listener,
        _metrics(configured) as exporter,
        zero_config.with_database(configured) as effective,
    ):
        effective = _check_schema(configured, effective)
        config = _config(effective, exporter, workers=workers, reload=reload)
        _run(config, listener, on_listening=partial(_greet, configured, effective, listener, exporter))


@contextmanager
def _bound_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Binds first, so that a port in use is reported before anything slow happens. Does not listen yet: clients would
    have to wait."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        listener.bind((host, port))
    except OSError as failure:
        listener.close()
        reasons = {
            errno.EADDRINUSE: f"Port {port} is in use: stop the program that listens on it, or choose another port "
            f"with --port {port + 1} (make run PORT={port + 1}).",
            errno.EACCES: f"Port {port} requires root: choose a port above 1023.",
        }
        raise CannotListen(reasons.get(failure.errno or 0, f"Cannot listen on {host}: {failure.strerror}.")) from None
    with listener:
        yield listener


@contextmanager
def _metrics(configured: Settings) -> Iterator["Exporter | None"]:
    """Serves metrics, if METRICS_PORT is set."""
    if configured.metrics_port is None:
        yield None
        return
    from entrypoints.observability.exporter import exporting

    host, port = configured.metrics_host, configured.metrics_port
    with ExitStack() as stack:
        try:
            exporter = stack.enter_context(exporting(host, port))
        except OSError as failure:
            raise CannotListen(
                f"Cannot listen on METRICS_HOST {host}, METRICS_PORT {port}: {failure.strerror}."
            ) from None
        yield exporter


def _check_schema(configured: Settings, effective: Settings) -> Settings:
    """Migrates the private database, never a configured one. Does not wait for a database that is down.

    Returns the settings with what was found: whether the tables are distributed.
    """
    try:
        outdated = schema.needs_migration(schema.revision(effective.conninfo))
        distributed = schema.is_distributed(effective.conninfo)
        lacks_owners = not outdated and not effective.database_row_security and schema.is_by_owner(effective.conninfo)
    except StorageUnavailable as failure:
        typer.echo(f"Cannot connect to the database at DATABASE_URL: {failure}", err=True)
        typer.echo("Serving anyway: GET /readyz responds with 503 until the database can be used.", err=True)
        return effective
    if lacks_owners:
        raise NotMigrated(f"Row-level security {schema.ADMITS_BY_OWNER}.")
    if configured.database_citus is False and distributed:
        raise NotMigrated("DATABASE_CITUS is false, but the tables are distributed by Citus.")
    if configured.database_citus and not distributed:
        raise NotMigrated("DATABASE_CITUS is true, but the tables are not distributed: run `todo migrate` first.")
    if distributed and effective.database_row_security:
        raise NotMigrated("DATABASE_ROW_SECURITY cannot be used where the tables are distributed by Citus.")
    if outdated and configured.database_url is not None:
        raise NotMigrated("The database schema is out of date: run `todo migrate` first.")
    if outdated:
        schema.migrate(effective.conninfo)
    return effective.model_copy(update={"database_citus": distributed})


def _config(effective: Settings, exporter: "Exporter | None", *, workers: int, reload: bool) -> ServerConfig:
    """Workers get the settings with it, over a pipe, so no secret appears in their environment."""
    folder: Path | None = exporter.folder if exporter else None
    config = ServerConfig(
        partial(factory.application, effective, folder),
        factory=True,
        http=DrainingHttpProtocol,
        ws="none",
        lifespan="on",
        workers=workers,
        reload=reload,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_TIMEOUT,
        timeout_graceful_shutdown=DRAIN_TIMEOUT,
    )
    config.limits = Limits(effective.max_connections, effective.max_connections_per_address)
    config.reload_dirs = _SOURCES  # uvicorn watches nothing unless the application is an import string
    return config


def _run(config: ServerConfig, listener: socket.socket, on_listening: Callable[[], None]) -> None:
    if config.reload:
        on_listening()
        ChangeReload(config, target=GracefulServer(config).run, sockets=[listener]).run()
    elif config.workers > 1:
        supervisor = Workers(config, [listener], on_listening)
        supervisor.run()
        if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
            sys.exit(STARTUP_FAILURE)
    else:
        GracefulServer(config, on_listening).run(sockets=[listener])


def _greet(configured: Settings, effective: Settings, listener: socket.socket, exporter: "Exporter | None") -> None:
    host, port = listener.getsockname()[:2]
    url = _url(host, port)
    lines = [f"Listening on  {url}"]
    if exporter:
        lines += [f"Metrics at    {_url(configured.metrics_host, exporter.port)}/metrics"]
    lines += [f"Docs at       {url}/docs"]
    if configured.admits_no_page:
        lines += [f"CORS          {settings.NO_PAGE}"]
    if configured.database_url is None:
        lines += [f"Data in       {zero_config.FOLDER.absolute()}"]
    if effective.origins == zero_config.LOCAL_ORIGINS:
        lines += [f"Open to       pages of {' and '.join(zero_config.LOCAL_ORIGINS)} (CORS)"]
    if effective.better_auth_secret != configured.better_auth_secret:
        local = zero_config.is_loopback(host)  # the token is for this terminal, not for the log of a server
        lines += _development(url, effective) if local else ["Token from    todo token --user me"]
    typer.echo("\n".join(["", *lines, ""]))


def _development(url: str, effective: Settings) -> list[str]:
    """For a developer at this machine: a request that works."""
    token = sign(UserId("me"), effective.secrets[0], effective.expected_claims, seconds=7 * 86400)
    return [
        "",
        "Better Auth is not configured. Here is a development token, valid for 7 days; try it:",
        "",
        f"curl {url}/api/tasks \\",
        "  -H 'Content-Type: application/json' -d '{\"title\": \"Buy milk\"}' \\",
        f"  -H 'Authorization: Bearer {token}'",
    ]


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
