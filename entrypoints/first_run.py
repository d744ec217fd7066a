"""What a run without any configuration has instead: a database and a secret of its own, kept in `.todo/`."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import SecretStr

from adapters.embedded_postgres import running
from entrypoints.settings import Settings

FOLDER = Path(".todo")


@contextmanager
def with_database(settings: Settings) -> Iterator[Settings]:
    """The settings with a database: the configured one, or one that runs while the context is open.

    Raises CannotStart, and OSError where `.todo/` cannot be written.
    """
    settings = with_secret(settings)
    if settings.database_url is not None:
        yield settings
        return
    with running(FOLDER / "postgres") as url:
        yield settings.model_copy(update={"database_url": SecretStr(url)})


def with_secret(settings: Settings) -> Settings:
    """The settings with a secret: configured, or made once. A database of one's own never gets one that was made."""
    if settings.database_url or settings.better_auth_url or settings.better_auth_secret:
        return settings
    return settings.model_copy(update={"better_auth_secret": [SecretStr(_kept_secret())]})


def _kept_secret() -> str:
    """Readable by its owner only, and complete from the moment that it can be seen."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    kept, made = FOLDER / "secret", FOLDER / f"secret.{os.getpid()}"
    if not kept.exists():
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
        with suppress(FileExistsError):
            os.link(made, kept)
        made.unlink()
    return kept.read_text()
