"""How the connection to another machine is protected, where the URL does not say."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.url import conninfo

OTHER_MACHINE = "postgresql://me:hunter2@db.example.com/app"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGSSLMODE", "PGSSLROOTCERT", "PGREQUIREAUTH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("query", "mode"),
    [
        ("", "require"),
        ("?sslmode=require", "require"),
        ("?sslmode=verify-full", "verify-full"),
        ("?sslmode=verify-ca", "verify-ca"),
        ("?sslrootcert=system", None),  # libpq's default is verify-full then, and nothing less is allowed
    ],
)
def test_a_connection_to_another_machine_is_encrypted(query: str, mode: str | None) -> None:
    assert conninfo_to_dict(conninfo(OTHER_MACHINE + query)).get("sslmode") == mode


@pytest.mark.parametrize(
    "host", ["db.example.com", "10.0.0.5", "[2001:db8::1]", "localhost,db.example.com", "postgres"]
)
@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", ""])
def test_an_sslmode_that_does_not_encrypt_is_refused_on_another_machine(host: str, mode: str) -> None:
    url = f"postgresql://me:hunter2@{host}/app?sslmode={mode}"
    if mode:
        with pytest.raises(ValueError, match="DATABASE_INSECURE=true") as refused:
            conninfo(url)
        assert "hunter2" not in str(refused.value)
    parts = conninfo_to_dict(conninfo(url, insecure=True))
    assert (parts.get("sslmode") or "", parts["require_auth"]) == (mode, "!password")


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.1", "127.8.8.8", "[::1]", "%2Fvar%2Frun%2Fpostgresql"])
def test_on_this_machine_nothing_is_added(host: str) -> None:
    for query in ("", "?sslmode=disable"):
        parts = conninfo_to_dict(conninfo(f"postgresql://me:hunter2@{host}/app{query}"))
        assert parts.get("sslmode") == (query.removeprefix("?sslmode=") or None)
        assert "require_auth" not in parts


def test_the_environment_of_libpq_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert conninfo_to_dict(conninfo(OTHER_MACHINE))["sslmode"] == "verify-full"
    monkeypatch.setenv("PGSSLMODE", "prefer")
    with pytest.raises(ValueError, match="DATABASE_INSECURE"):
        conninfo(OTHER_MACHINE)
    monkeypatch.delenv("PGSSLMODE")
    monkeypatch.setenv("PGHOST", "db.example.com")
    assert conninfo_to_dict(conninfo("postgresql:///app"))["sslmode"] == "require"


class Impostor:
    """Answers in the place of a PostgreSQL: has no TLS, and asks for the password in clear."""

    def __init__(self) -> None:
        self.received = b""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(head := await reader.read(4)) == 4:
            message = await reader.readexactly(int.from_bytes(head) - 4)
            if message == b"\x04\xd2\x16\x2f":  # SSLRequest
                writer.write(b"N")
            elif message.startswith(b"\x00\x03\x00\x00"):  # startup: ask for a password in clear
                writer.write(b"R" + (8).to_bytes(4) + (3).to_bytes(4))
                self.received = await reader.read(100)
                break
        writer.close()


@pytest.fixture
async def impostor() -> AsyncIterator[Impostor]:
    running = Impostor()
    listening = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = listening.sockets[0].getsockname()[1]
    yield running
    listening.close()


async def test_a_server_without_tls_does_not_get_the_password_in_clear(impostor: Impostor) -> None:
    url = f"postgresql://me:hunter2@db.example.com:{impostor.port}/app?hostaddr=127.0.0.1&gssencmode=disable"
    for strict in (conninfo(url), conninfo(url, insecure=True)):
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(strict)
        assert impostor.received == b""
    with pytest.raises(psycopg.OperationalError):
        await psycopg.AsyncConnection.connect(url)
    assert b"hunter2" in impostor.received, "libpq alone sends it"


def test_the_url_is_read_again_from_its_file(tmp_path: Path) -> None:
    from entrypoints.settings import Settings

    file = tmp_path / "url"
    file.write_text(f"{OTHER_MACHINE}\n")
    settings = Settings(_env_file=None, database_url_file=file, better_auth_url="https://app.example.com")
    assert settings.renew_conninfo
    file.write_text(OTHER_MACHINE.replace("hunter2", "hunter3"))
    assert conninfo_to_dict(settings.renew_conninfo())["password"] == "hunter3"
    for useless in ("", "mysql://me@h/d", OTHER_MACHINE + "?sslmode=disable"):
        file.write_text(useless)
        assert conninfo_to_dict(settings.renew_conninfo())["password"] == "hunter2"
    file.unlink()
    assert settings.renew_conninfo() == settings.conninfo
    assert Settings(_env_file=None, database_url=OTHER_MACHINE, better_auth_url="https://a.b").renew_conninfo is None
