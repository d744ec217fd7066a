"""`todo erase` and `todo export`: everything that is stored about a user. Slow imports stay inside the functions."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from application.user_records import UserRecords
    from domain.values import UserId
    from entrypoints.container import Container

Issuer = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Issuer of the user, if it is not the primary one: its address or origin."),
]


class UnknownIssuer(Exception):
    """The message says what to do."""


class NothingErased(Exception):
    """The message says why, and what to do instead."""


def erase(
    user: Annotated[str | None, typer.Option(metavar="ID", help="User ID: the token's subject (sub).")] = None,
    issuer: Issuer = None,
    absent_from: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="Erase all users whose ID is not in TABLE.id, or in TABLE.COLUMN."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be erased.")] = False,
) -> None:
    """Erase all data of a user, or of users absent from a table.

    For example --absent-from neon_auth.user, or 'public."user"' of Better Auth.
    May be repeated, and interrupted. Other users are not held up.
    """
    if (user is None) == (absent_from is None):
        raise typer.BadParameter("name either a user or a table", param_hint="--user / --absent-from")
    asyncio.run(_erase(user, issuer, absent_from or "", dry_run=dry_run))


def export(
    user: Annotated[str, typer.Option(metavar="ID", help="User ID: the token's subject (sub).")],
    issuer: Issuer = None,
) -> None:
    """Print all data of a user as JSON Lines.

    Tasks come first, then idempotency keys.
    """
    asyncio.run(_export(user, issuer))


async def _erase(user: str | None, issuer: str | None, table: str, *, dry_run: bool) -> None:
    async with _container() as container:
        records = container.user_records()
        if user is None:
            await _require_sight_of_all(container.settings().conninfo)
            users = await _absent(records, table)
        else:
            users = [_user_id(user, issuer, container)]
        counts = [await records.count(each) for each in users]
        tasks, keys = sum(count.tasks for count in counts), sum(count.keys for count in counts)
        found = f"{_number(len(users), 'user')} with {_number(tasks, 'task')} and {_number(keys, 'idempotency key')}"
        if dry_run:
            typer.echo(f"Would erase {found}.")
            return
        typer.echo(f"Erasing {found} ...")
        await _erase_each(records, users, tasks)


async def _erase_each(records: "UserRecords", users: Sequence["UserId"], expected: int) -> None:
    from application.user_records import erase

    tasks = keys = 0
    for user in users:
        async for erased in erase(records, user):
            tasks, keys = tasks + erased.tasks, keys + erased.keys
            if sys.stderr.isatty():
                typer.echo(f"\r{tasks} of {expected} tasks", nl=False, err=True)
            elif tasks % 100_000 < erased.tasks:
                typer.echo(f"{tasks} of {expected} tasks", err=True)
    typer.echo(f"Erased {_number(tasks, 'task')} and {_number(keys, 'idempotency key')}.")


async def _require_sight_of_all(conninfo: str) -> None:
    """Raises NothingErased if the role sees the tasks of those users only that a statement names."""
    from adapters.postgres import schema

    if await asyncio.to_thread(schema.is_by_owner, conninfo):
        raise NothingErased(
            "Nothing was erased: row-level security hides the users from this role. Use the DATABASE_URL of the role "
            "that owns the tables."
        )


async def _absent(records: "UserRecords", table: str) -> list["UserId"]:
    """Raises NothingErased if no user is in the table: it is more likely the wrong one than that all are gone."""
    from domain.values import UserId

    total, absent = await records.absent_from(table)
    if absent and len(absent) == total:
        raise NothingErased(
            f"Nothing was erased: none of the {_number(total, 'user')} with records is in {table}. If that is so, "
            "erase them by --user; else name the table and the column that hold their IDs."
        )
    typer.echo(f"{len(absent)} of {_number(total, 'user')} with records are not in {table}.")
    return [UserId(user) for user in absent]


async def _export(user: str, issuer: str | None) -> None:
    import orjson

    from entrypoints.http.representation import task_json

    async with _container() as container:
        who = _user_id(user, issuer, container)
        async for chunk in container.todo_list(owner=who).list():
            for task in chunk:
                _print_line(b'{"type":"task",' + task_json(task)[1:])
        for key in await container.user_records().keys(who):
            record = {"type": "idempotency_key", "user_id": user, **key._asdict()}
            _print_line(orjson.dumps(record, option=orjson.OPT_UTC_Z))


def _print_line(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")


def _user_id(user: str, issuer: str | None, container: "Container") -> "UserId":
    """Users of the primary issuer are stored by their ID alone. Raises UnknownIssuer."""
    from domain.values import UserId
    from entrypoints.setting_types import origin

    if issuer is None:
        return UserId(user)
    issuers, named = [origin(url) for url in container.settings().issuer_urls], origin(issuer)
    if named not in issuers:
        raise UnknownIssuer(f"{named} is no issuer in BETTER_AUTH_URL: add it there to reach its users.")
    return UserId(user, None if named == issuers[0] else named)


@asynccontextmanager
async def _container() -> AsyncIterator["Container"]:
    from entrypoints import settings
    from entrypoints.cli import zero_config
    from entrypoints.container import Container

    configured = settings.load()
    zero_config.require_database_or_join(configured)
    with zero_config.with_database(configured) as effective:
        # Additional members of tasks belong to the export whether they are served or not.
        container = Container(settings=effective.model_copy(update={"keep_unknown_members": True}))
        try:
            yield container
        finally:
            await container.pool().close()
            await container.operator_pool().close()


def _number(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"
