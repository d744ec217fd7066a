"""What replaces missing configuration: a private PostgreSQL and a generated secret, both kept in `.todo/`.

For development only: a database that was meant to be configured must not be replaced silently.
"""

import errno
import fcntl
import importlib.util
import ipaddress
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import SecretStr

from adapters.better_auth.identity import checked_secret
from entrypoints.cli.local_postgres import PACKAGES, in_use, running
from entrypoints.settings import Settings

FOLDER = Path(".todo")
LOCAL_ORIGINS = ["http://localhost:*", "http://127.0.0.1:*"]  # a page in development may be on any port
_DATA = FOLDER / "postgres"


class NoDatabase(Exception):
    """DATABASE_URL is missing where it must not be, or set where it must not be; the message says what to do."""


class NotOurs(Exception):
    """Somebody else may have planted what `.todo/` holds; the message says what to do."""


def require_database(settings: Settings, *, private: bool = False, host: str = "127.0.0.1", workers: int = 1) -> None:
    """Raises NoDatabase unless DATABASE_URL is set or the private PostgreSQL is what the caller wants.

    That is so if it was requested, or in a development install without any setting, with one process on loopback.
    """
    if settings.database_url is not None:
        if private:
            raise NoDatabase("DATABASE_URL is set: run `todo serve` to use that database, or unset it for --private.")
        return
    if private:
        return
    names = sorted(name.upper() for name in settings.model_fields_set)
    if workers > 1:
        reason = f", but --workers is {workers}"
    elif not is_loopback(host):
        reason = f", but the host is {host}"
    elif names:
        reason = f", but {', '.join(names)} {'are' if len(names) > 1 else 'is'}"
    elif not _is_development_install():
        reason = ""
    else:
        return
    raise NoDatabase(
        f"DATABASE_URL is not set{reason}: set it, or run `todo serve --private` for a private development database."
    )


def require_database_or_join(settings: Settings) -> None:
    """`require_database` for commands beside a server: they join the private PostgreSQL while a server here uses it."""
    if settings.database_url is not None or not in_use(_DATA):
        require_database(settings)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_development_install() -> bool:
    """Whether the development dependencies are installed, which contain a PostgreSQL."""
    return any(importlib.util.find_spec(package) for package in PACKAGES)


@contextmanager
def with_database(settings: Settings) -> Iterator[Settings]:
    """The settings with a secret and a database: the configured one, or a private one that runs during the context.

    The caller has checked that the private one may be used. Raises CannotStart, and OSError if `.todo/` is not
    writable.
    """
    settings = with_secret(settings)
    if settings.database_url is not None:
        yield settings
        return
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]  # libpq would apply it to the private database, though it is meant for another one
    with running(_DATA) as url:
        yield settings.model_copy(update={"database_url": SecretStr(url)})


def with_secret(settings: Settings) -> Settings:
    """The settings with a generated secret, and open to pages of this machine if no origins are configured; but only
    if neither a database nor a key source is."""
    if settings.database_url or settings.jwks_urls or settings.better_auth_secret:
        return settings
    origins = LOCAL_ORIGINS if settings.cors_origins is None else settings.cors_origins
    secret = [SecretStr(_stored_secret())]
    return settings.model_copy(update={"better_auth_secret": secret, "cors_origins": origins})


def _stored_secret() -> str:
    """Readable by its owner only. Generated if it is missing or damaged; concurrent callers get the same one. Raises
    NotOurs where somebody else could have put it there: they would sign tokens with it."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    path = FOLDER / "secret"
    try:
        folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except NotADirectoryError:
        raise NotOurs(f"{FOLDER.absolute()} must be a directory, and no link to one.") from None
    try:
        _require_ours(folder, FOLDER)
        fcntl.flock(folder, fcntl.LOCK_EX)
        with suppress(FileNotFoundError, ValueError):
            return checked_secret(_read_ours(path))
        descriptor, temporary = tempfile.mkstemp(prefix="secret-", dir=FOLDER)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
        return path.read_text()
    finally:
        os.close(folder)


def _read_ours(path: Path) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as failure:
        if failure.errno == errno.ELOOP:
            raise NotOurs(f"{path.absolute()} is a link: remove it.") from None
        raise
    with os.fdopen(file) as opened:
        _require_ours(file, path)
        return opened.read()


def _require_ours(file: int, path: Path) -> None:
    """Raises NotOurs unless it belongs to this user, and nobody else may write to it."""
    found = os.fstat(file)
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotOurs(
            f"{path.absolute()} belongs to, or can be changed by, another user: remove it, or fix its rights."
        )
