"""The command line. Imports that take time stay inside the commands, so that `--help` is quick."""

import gc
import re
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="todo",
    help="To-do lists of many users over HTTP, for Better Auth and Neon.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes any free one.", min=0, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(help="Processes that answer.", min=1)] = 1,
    reload: Annotated[bool, typer.Option("--reload", help="Start again when the code changes.")] = False,
) -> None:
    """Serve the API until SIGTERM or Ctrl+C.

    Without DATABASE_URL it brings a private PostgreSQL along and migrates it.
    Any other database must have been migrated.
    """
    from entrypoints.cli import serve as server

    server.serve(host, port, workers=workers, reload=reload)


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date. Safe to run by several at once."""
    from adapters.postgres import schema
    from entrypoints import settings
    from entrypoints.cli import zero_config as first_run

    with first_run.with_database(settings.load()) as configured:
        before = schema.revision(configured.conninfo)
        schema.migrate(configured.conninfo)
        after = schema.revision(configured.conninfo)
    typer.echo(f"The schema is at revision {after}" + ("." if before == after else f", before: {before or 'empty'}."))


def _seconds(text: str) -> int:
    parts = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if parts is None:
        raise typer.BadParameter("a number and s, m, h or d is needed, like 15m, 12h or 7d", param_hint="--expires")
    return int(parts[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[parts[2]]


@app.command()
def token(
    user: Annotated[str, typer.Option(help="The user id that the token speaks for.")],
    expires: Annotated[str, typer.Option(help="How long it is good for, like 15m, 12h or 7d.")] = "12h",
) -> None:
    """Print a token for development, signed with the shared secret; a first run makes its secret."""
    seconds = _seconds(expires)
    from adapters.better_auth.identity import sign
    from domain.values import UserId
    from entrypoints import settings
    from entrypoints.cli import zero_config as first_run

    configured = first_run.with_secret(settings.load())
    if not configured.secrets:
        raise settings.WrongSettings("BETTER_AUTH_SECRET: must be set, or there is nothing to sign a token with")
    typer.echo(sign(UserId(user), configured.secrets[0], configured.expected, seconds=seconds))


@app.command()
def openapi() -> None:
    """Print the description of the API. Needs neither a database nor settings."""
    import json

    from entrypoints.container import Container
    from entrypoints.http.app import create
    from entrypoints.settings import Settings

    described = create(Container(settings=Settings.model_construct())).openapi()
    typer.echo(json.dumps(described, indent=2, ensure_ascii=False))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="All findings as one JSON document, for programs.")] = False,
) -> None:
    """Check settings, database, schema and identity; exit 1 if anything is wrong."""
    import json
    from dataclasses import asdict

    from entrypoints.cli import doctor as examination
    from entrypoints.observability import logs

    logs.configure()
    found = []
    for finding in examination.findings():
        found.append(finding)
        if not as_json:
            typer.echo(f"{'ok  ' if finding.well else 'FAIL'}  {finding.subject:<9} {finding.words}")
    healthy = all(finding.well for finding in found)
    if as_json:
        typer.echo(json.dumps({"well": healthy, "findings": [asdict(finding) for finding in found]}))
    raise typer.Exit(0 if healthy else 1)


def main() -> None:
    """What can be expected to go wrong is one clear line on standard error and exit code 1; the rest is a traceback."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leaves contexts, unlike the default
    gc.disable()  # what is imported stays, so looking for waste meanwhile takes time for nothing; serving enables it
    try:
        app()
    except Exception as failure:
        words = _words(failure)
        if words is None:
            raise
        sys.exit(words)


def _words(failure: Exception) -> str | None:
    """What a person can do about it; None for a defect of ours."""
    from adapters.postgres.schema import NotPermitted
    from domain.errors import InvalidValue, StorageUnavailable
    from entrypoints.cli.local_postgres import CannotStart
    from entrypoints.cli.serve import CannotListen, NotMigrated
    from entrypoints.settings import WrongSettings

    match failure:
        case WrongSettings():
            return f"Wrong or missing settings (from the environment or .env):\n{failure}"
        case CannotListen() | NotMigrated() | CannotStart():
            return str(failure)
        case InvalidValue():
            return f"{failure.field} {failure}"
        case StorageUnavailable():
            return f"The database at DATABASE_URL cannot be reached: {failure}"
        case NotPermitted():
            return f"The role in DATABASE_URL has too few rights: {failure}"
        case OSError() if failure.filename:
            path = Path(failure.filename).absolute()
            return f"{path} cannot be used ({failure.strerror}): see to it, or run in another folder."
        case _:
            return None


if __name__ == "__main__":
    main()
