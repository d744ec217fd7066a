"""Databases that live as long as a test needs them."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo


@contextmanager
def fresh_database(server: str, name: str, template: str = "template0") -> Iterator[str]:
    """The conninfo of a new copy of the template."""
    database, copied = sql.Identifier(name), sql.Identifier(template)
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(database, copied))
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
