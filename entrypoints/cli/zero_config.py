"""What a run without any configuration has instead: a database and a secret of its own, kept in `.todo/`."""

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
    """The settings with a database: the configured one, or one that runs while the context is open.

    Raises CannotStart, and OSError where `.todo/` cannot be written.
    """
    settings = with_secret(settings)
    if settings.database_url is not None:
        yield settings
        return
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]  # libpq would follow them to the private database, whatever other one they are meant for
    with running(FOLDER / "postgres") as url:
        yield settings.model_copy(update={"database_url": SecretStr(url)})


def with_secret(settings: Settings) -> Settings:
    """The settings with a secret: configured, or made once. A database of one's own never gets one that was made."""
    if settings.database_url or settings.jwks_url or settings.better_auth_secret:
        return settings
    return settings.model_copy(update={"better_auth_secret": [SecretStr(_kept_secret())]})


def _kept_secret() -> str:
    """Readable by its owner only; made anew where it is missing or damaged. All who ask at once get the same."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    kept = FOLDER / "secret"
    folder = os.open(FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with suppress(FileNotFoundError, ValueError):
            return checked_secret(kept.read_text())
        handle, made = tempfile.mkstemp(prefix="secret-", dir=FOLDER)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(handle)
        Path(made).replace(kept)
        return kept.read_text()
    finally:
        os.close(folder)
