"""Databases and roles that live as long as a test needs them."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.postgres import schema


@contextmanager
def fresh_database(server: str, name: str, template: str = "template0", options: str = "") -> Iterator[str]:
    """The conninfo of a new copy of the template. `options` are more of those of CREATE DATABASE."""
    database, copied = sql.Identifier(name), sql.Identifier(template)
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(drop)
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY {}")
        connection.execute(create.format(database, copied, sql.SQL(options)))
        yield make_conninfo(server, dbname=name)
        connection.execute(drop)


def url(conninfo: str) -> str:
    """The conninfo as a DATABASE_URL."""
    parts = conninfo_to_dict(conninfo)
    host = str(parts.pop("host"))
    query = "&".join(f"{name}={value}" for name, value in parts.items() if name != "dbname")
    return f"postgresql://{'' if host.startswith('/') else host}/{parts['dbname']}?{query}" + (
        f"&host={host.replace('/', '%2F')}" if host.startswith("/") else ""
    )


@contextmanager
def serving_role(database: str, name: str, *revoked: str) -> Iterator[str]:
    """The conninfo of a new serving role, without some of its privileges, such as `INSERT ON tasks`."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {name} LOGIN".encode())
        schema.migrate(database, name)
        for privilege in revoked:
            owner.execute(f"REVOKE {privilege} FROM {name}".encode())
        yield make_conninfo(database, user=name)
        owner.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())
