"""Database URLs, and the connection strings of libpq (conninfo) that they become."""

import ipaddress
import os
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

SCHEMES = ("postgres://", "postgresql://", "postgresql+psycopg://")
CONNECT_SECONDS = 10  # Neon wakes in a few hundred milliseconds, sometimes in seconds


_ENCRYPTED = ("require", "verify-ca", "verify-full")


def conninfo(url: str, *, insecure: bool = False) -> str:
    """The URL as a libpq connection string, with every parameter kept. Connecting overrides `connect_timeout`.

    A connection to another machine is encrypted, unless it may be `insecure`; then at least the password is not sent in
    clear. Raises ValueError, whose message never contains the URL.
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
        return make_conninfo("", **_protected(parts, insecure))
    except psycopg.Error:  # libpq's message quotes parts of the URL, and so the password
        raise ValueError(
            "is not a URL that libpq understands: percent-encode special characters in the password, "
            "and keep only libpq's own parameters after the question mark"
        ) from None


def _protected(parts: dict[str, Any], insecure: bool) -> dict[str, Any]:
    """With what protects the connection, as far as the URL and libpq's environment do not say. By itself libpq accepts
    a server without TLS that asks for the password in clear."""
    if _is_local(parts):
        return parts
    if insecure:
        return {"require_auth": os.environ.get("PGREQUIREAUTH", "!password"), **parts}
    mode = parts.get("sslmode") or os.environ.get("PGSSLMODE")
    if mode is None and "system" in (parts.get("sslrootcert"), os.environ.get("PGSSLROOTCERT")):
        return parts  # libpq verifies the host then
    if mode is not None and mode not in _ENCRYPTED:
        raise ValueError(
            "has an sslmode that does not encrypt the connection to another machine: use require or verify-full, "
            "or set DATABASE_INSECURE=true"
        )
    return {**parts, "sslmode": mode or "require"}


def _is_local(parts: dict[str, Any]) -> bool:
    """Whether every host is this machine: a Unix socket, or loopback. A name that leads to loopback may be a tunnel."""
    hosts = parts.get("host") or parts.get("hostaddr") or os.environ.get("PGHOST") or os.environ.get("PGHOSTADDR") or ""
    return all(host in ("", "localhost") or host[0] in "/@" or _is_loopback(host) for host in str(hosts).split(","))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
