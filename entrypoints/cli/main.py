"""The command line. Slow imports stay inside the commands, so that `todo --help` is quick."""

import re
import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from entrypoints.cli import failures, users

app = typer.Typer(
    name="todo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"todo {version('todo-backend')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """To-do backend for Better Auth and PostgreSQL."""


@app.command()
def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", envvar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(metavar="PORT", envvar="PORT", help="Port to listen on; 0 picks a free one.", min=0, max=65535),
    ] = 8000,
    workers: Annotated[int, typer.Option(metavar="N", help="Number of worker processes.", min=1)] = 1,
    private: Annotated[bool, typer.Option("--private", help="Use the private PostgreSQL (development).")] = False,
    reload: Annotated[bool, typer.Option("--reload", help="Restart when the code changes (development).")] = False,
) -> None:
    """Serve the API until SIGTERM or Ctrl+C.

    The database at DATABASE_URL must be migrated first: see `todo migrate`.
    With --private, or in a development install without any setting, a private
    PostgreSQL in .todo/ is started and migrated.
    """
    from entrypoints.cli.serve import serve as run

    _exit_on(signal.SIGTERM, signal.SIGINT, code=0)  # uvicorn raises the signal again after its graceful shutdown
    run(host, port, workers=workers, reload=reload, private=private)


@app.command()
def migrate(
    wait: Annotated[
        int, typer.Option(metavar="SECONDS", help="How long to retry while the database is unavailable.", min=0)
    ] = 0,
    serving_role: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Role of the database that `todo serve` uses: grant it what it needs."),
    ] = None,
) -> None:
    """Upgrade the database schema. Safe to run concurrently.

    With --serving-role, also grants that role what serving needs, and nothing else:
    row-level security hides all tasks from every role but the one that owns the tables.
    """
    from adapters.postgres import schema
    from entrypoints import settings
    from entrypoints.cli import zero_config

    configured = settings.load()
    zero_config.require_database_or_join(configured)
    with zero_config.with_database(configured) as effective:
        schema.wait_until_available(effective.conninfo, wait)
        before = schema.revision(effective.conninfo)
        by_owner = effective.database_row_security if serving_role else None
        schema.migrate(effective.conninfo, serving_role, by_owner=by_owner, distributed=effective.database_citus)
        after = schema.revision(effective.conninfo)
        distributed = schema.is_distributed(effective.conninfo)
    if before == after:
        typer.echo(f"The schema is up to date, at revision {after}.")
    else:
        typer.echo(f"Migrated the schema from {before or 'an empty database'} to revision {after}.")
    if distributed:
        typer.echo("The tables are distributed by Citus.")
    if serving_role is not None:
        rows = "tasks of the owners that a statement carries" if by_owner else "tasks"
        typer.echo(f"{serving_role} may serve: it reads and changes {rows}, and nothing else.")


def _seconds(text: str) -> int:
    parts = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if parts is None:
        raise typer.BadParameter(
            "must be a number followed by s, m, h or d, like 15m, 12h or 7d", param_hint="--expires"
        )
    return int(parts[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[parts[2]]


@app.command()
def token(
    user: Annotated[str, typer.Option(metavar="ID", help="User ID: the token's subject (sub).")],
    expires: Annotated[str, typer.Option(metavar="DURATION", help="Lifetime, like 15m, 12h or 7d.")] = "12h",
) -> None:
    """Print a development token (JWT) signed with BETTER_AUTH_SECRET.

    Without any settings, it is signed with the secret in .todo/, which is generated if it is missing.
    """
    seconds = _seconds(expires)
    from adapters.better_auth.identity import sign
    from domain.values import UserId
    from entrypoints import settings
    from entrypoints.cli import zero_config

    effective = zero_config.with_secret(settings.load())
    if not effective.secrets:
        raise settings.InvalidSettings("BETTER_AUTH_SECRET: must be set: it signs the token")
    typer.echo(sign(UserId(user), effective.secrets[0], effective.expected_claims, seconds=seconds))


app.command()(users.erase)
app.command()(users.export)


@app.command()
def openapi() -> None:
    """Print the OpenAPI document. Needs neither a database nor settings."""
    import json

    from entrypoints.container import Container
    from entrypoints.http.app import create
    from entrypoints.settings import Settings

    document = create(Container(settings=Settings.model_construct())).openapi()
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check settings, database, privileges and token verification.

    Exits with 1 if a check fails.
    """
    import json
    from dataclasses import asdict

    from entrypoints.cli.doctor import run_checks
    from entrypoints.observability import logs

    logs.mute()
    checks = []
    for check in run_checks():
        checks.append(check)
        if not as_json:
            typer.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<9} {check.message}")
    ok = all(check.ok for check in checks)
    if as_json:
        typer.echo(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}))
    raise typer.Exit(0 if ok else 1)


def main() -> None:
    """Expected failures are one clear message on standard error and exit code 1; unexpected ones are a traceback."""
    if sys.platform == "win32":
        sys.exit("Windows is supported through WSL 2 only: install it with `wsl --install`, and run this inside it.")
    _exit_on(signal.SIGTERM, code=128 + signal.SIGTERM)
    try:
        app(prog_name="todo")
    except Exception as failure:
        message = failures.message(failure)
        if message is None:
            raise
        sys.exit(message)


def _exit_on(*signals: signal.Signals, code: int) -> None:
    """Raises SystemExit on these signals, so that open contexts are left; the default action would skip them."""
    for number in signals:
        signal.signal(number, lambda *_: sys.exit(code))
