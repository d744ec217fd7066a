"""Database URLs, and the connection strings of libpq (conninfo) that they become."""

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

SCHEMES = ("postgres://", "postgresql://", "postgresql+psycopg://")
CONNECT_SECONDS = 10  # Neon wakes in a few hundred milliseconds, sometimes in seconds


def conninfo(url: str) -> str:
    """The URL as a libpq connection string, with every parameter kept. Connecting overrides `connect_timeout`.

    Raises ValueError, whose message never contains the URL.
    """
    scheme = next((scheme for scheme in SCHEMES if url.startswith(scheme)), None)
    if scheme is None:
        schemes = f"{', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}"
        raise ValueError(f"must begin with {schemes}, without quotes or `psql` around it")
    try:
        parts = conninfo_to_dict("postgresql://" + url.removeprefix(scheme))
        misread = "@" in f"{parts.get('host')}{parts.get('dbname')}"  # part of the password, which must not be shown
        if misread or not all(map(_is_port, str(parts.get("port", "")).split(","))):
            raise psycopg.ProgrammingError
        return make_conninfo("", **parts)
    except psycopg.Error:  # libpq's message quotes parts of the URL, and so the password
        raise ValueError(
            "is not a URL that libpq understands: percent-encode special characters in the password, "
            "and keep only libpq's own parameters after the question mark"
        ) from None


def _is_port(text: str) -> bool:
    """Empty where a host has the default port."""
    return not text or (text.isascii() and text.isdecimal() and 0 < int(text[:6]) < 65536)


def direct(conninfo: str) -> str:
    """The same database without Neon's connection pooler: migrations need a session of their own."""
    host = conninfo_to_dict(conninfo).get("host")
    return make_conninfo(conninfo, host=str(host).replace("-pooler.", ".")) if host else conninfo


def is_pooled(conninfo: str) -> bool:
    """Whether the host is one of Neon's poolers: a PgBouncer in transaction mode."""
    return "-pooler." in str(conninfo_to_dict(conninfo).get("host"))
