"""The JWKS is fetched through the proxies, and with the certificates, that the environment names for HTTP clients."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from adapters.better_auth.http_client import InvalidEnvironment
from adapters.better_auth.jwks import JwksClient
from domain.errors import IdentityUnavailable
from tests.identity.issuer import KeyServer, answer, key_server, key_set, public_jwk

AUTH = "http://auth.invalid/api/auth/jwks"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def proxy() -> AsyncIterator[KeyServer]:
    """An HTTP proxy that answers every request with a key set, whatever its target."""
    async with key_server(key_set(public_jwk("EdDSA"))) as running:
        yield running


async def fetched(url: str) -> bool:
    client = JwksClient(url)
    try:
        return bool(await client.algorithms())
    except IdentityUnavailable:
        return False
    finally:
        await client.close()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_keys_are_fetched_through_the_proxy(proxy: KeyServer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert not await fetched(AUTH)
    monkeypatch.setenv(name, proxy.url)
    assert await fetched(AUTH)
    assert proxy.count == 1


async def test_hosts_of_no_proxy_are_reached_directly(proxy: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "localhost,auth.invalid")
    assert not await fetched(AUTH)
    assert proxy.count == 0


async def test_a_proxy_between_this_server_and_https_sees_the_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot replace keys: TLS ends at Better Auth."""
    seen: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        seen.append(await reader.read(3))
        await answer(json.dumps({"keys": [public_jwk("EdDSA")]}).encode())(writer)
        writer.close()

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        assert not await fetched(AUTH.replace("http://", "https://"))
    connect, hello = seen
    assert connect.startswith(b"CONNECT auth.invalid:443 HTTP/1.1\r\n")
    assert b"jwks" not in connect
    assert hello.startswith(b"\x16\x03")  # a TLS handshake (RFC 8446 section 5.1)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("ALL_PROXY", "socks5h://me:hunter2@127.0.0.1:1080", "SOCKS is not supported"),
        ("https_proxy", "socks5://me:hunter2@127.0.0.1:1080", "SOCKS is not supported"),
        ("HTTPS_PROXY", "ftp://me:hunter2@127.0.0.1", "must be URLs that begin with http:// or https://"),
        ("HTTP_PROXY", "http://me:hunter2@127.0.0.1:port", "must be URLs that begin with http:// or https://"),
        ("SSL_CERT_FILE", "/hunter2/missing.pem", "must name an existing file of certificates"),
        ("SSL_CERT_FILE", __file__, "must name an existing file of certificates"),
    ],
)
async def test_a_variable_that_cannot_be_used_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, fault: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidEnvironment) as refusal:
        JwksClient(AUTH)
    assert str(refusal.value).startswith(f"{name.upper()}: ")
    assert fault in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
