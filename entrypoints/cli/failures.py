"""Expected failures of commands, as one message each. Slow imports stay inside: few commands fail."""

from pathlib import Path


def message(failure: Exception) -> str | None:
    """What is wrong, and what to do about it; None for an unexpected failure."""
    from adapters.better_auth.http_client import InvalidEnvironment
    from adapters.postgres.access import CannotServe
    from adapters.postgres.inspection import UnsuitableDatabase
    from adapters.postgres.schema import NotPermitted
    from application.user_records import NoSuchTable
    from domain.errors import InvalidValue, StorageUnavailable
    from entrypoints.cli.local_postgres import CannotStart
    from entrypoints.cli.serve import CannotListen, NotMigrated
    from entrypoints.cli.users import NothingErased, UnknownIssuer
    from entrypoints.cli.zero_config import NoDatabase, NotOurs
    from entrypoints.settings import InvalidSettings

    match failure:
        case InvalidSettings():
            return f"Invalid or missing settings (from the environment or .env):\n{failure}"
        case CannotListen() | CannotServe() | CannotStart() | NoDatabase() | NotMigrated() | NotOurs():
            return str(failure)
        case InvalidEnvironment():
            return f"Invalid environment variables: {failure}"
        case NoSuchTable() | NothingErased() | UnknownIssuer():
            return str(failure)
        case InvalidValue():
            return f"{failure.field} {failure}"
        case StorageUnavailable():
            return f"Cannot connect to the database at DATABASE_URL: {failure}"
        case NotPermitted():
            return f"The role in DATABASE_URL lacks privileges: {failure}"
        case UnsuitableDatabase():
            return f"Cannot use the database at DATABASE_URL: {failure}"
        case OSError() if failure.filename:
            path = Path(failure.filename).absolute()
            return f"Cannot use {path} ({failure.strerror}): fix that, or run in another folder."
        case _:
            return None
