"""What replaces missing configuration: a private PostgreSQL and a generated secret, both kept in `.todo/`."""

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import SecretStr

from adapters.better_auth.identity import checked_secret
from entrypoints.cli.local_postgres import running
from entrypoints.settings import Settings

FOLDER = Path(".todo")


@contextmanager
def with_database(settings: Settings) -> Iterator[Settings]:
    """The settings with a secret and a database: the configured one, or a private one that runs during the context.

    Raises CannotStart, and OSError if `.todo/` is not writable.
    """
    settings = with_secret(settings)
    if settings.database_url is not None:
        yield settings
        return
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]  # libpq would apply it to the private database, though it is meant for another one
    with running(FOLDER / "postgres") as url:
        yield settings.model_copy(update={"database_url": SecretStr(url)})


def with_secret(settings: Settings) -> Settings:
    """The settings with a generated secret, but only if neither a database nor a key source is configured."""
    if settings.database_url or settings.jwks_url or settings.better_auth_secret:
        return settings
    return settings.model_copy(update={"better_auth_secret": [SecretStr(_stored_secret())]})


def _stored_secret() -> str:
    """Readable by its owner only. Generated if it is missing or damaged; concurrent callers get the same one."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    path = FOLDER / "secret"
    folder = os.open(FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with suppress(FileNotFoundError, ValueError):
            return checked_secret(path.read_text())
        descriptor, temporary = tempfile.mkstemp(prefix="secret-", dir=FOLDER)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
        return path.read_text()
    finally:
        os.close(folder)
