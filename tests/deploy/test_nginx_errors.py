"""Errors that nginx itself responds with: they look like the API's. And what an operator may switch on."""

import asyncio
import datetime
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.better_auth.identity import ExpectedClaims, sign
from domain.values import UserId
from tests.deploy.conftest import Site
from tests.deploy.nginx import SITE, enabled, free_port, nginx
from tests.faults.scenario import SECRET

TLS = SITE.with_name("nginx-tls.conf")


async def raw(address: str, request: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, header fields in lower case, and body of the response to these bytes."""
    url = httpx2.URL(address)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(request)
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    return int(status.split()[1]), headers, json.loads(body)


def check_problem(status: int, headers: dict[str, str], body: Any, code: str) -> None:
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"] == body["request_id"]
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert body == {
        "status": status,
        "title": body["title"],
        "code": code,
        "detail": body["detail"],
        "error": body["detail"],
        "message": body["detail"],
        "request_id": body["request_id"],
    }


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /api/tasks HTTP/1.1\r\n\r\n",  # no Host
        b"nonsense\r\n\r\n",
        b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\nConnection: close\r\n\r\n",
        b"POST /api/tasks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
    ],
    ids=["no host", "not HTTP", "long request line", "long header", "unknown transfer coding", "unknown version"],
)
async def test_a_malformed_request_is_refused_as_the_api_refuses_it(site: Site, request_: bytes) -> None:
    status, headers, body = await raw(site.nginx.address, request_)
    assert status == 400
    check_problem(status, headers, body, "malformed_request")
    assert "strict-transport-security" not in headers, "not over plain HTTP (RFC 6797 section 7.2)"


async def test_trace_is_refused_with_the_methods_that_there_are(site: Site) -> None:
    request = b"TRACE /api/tasks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    status, headers, body = await raw(site.nginx.address, request)
    assert status == 405
    check_problem(status, headers, body, "method_not_allowed")
    assert headers["allow"] == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


async def test_error_pages_cannot_be_requested(site: Site) -> None:
    async with httpx2.AsyncClient(base_url=site.nginx.address, trust_env=False) as client:
        for page in ("/todo-error/malformed", "/todo-error/method"):
            response = await client.get(page)
            assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_tokens_of_8_kib_and_request_heads_of_32_kib_reach_the_api(site: Site) -> None:
    async with httpx2.AsyncClient(base_url=site.nginx.address, trust_env=False) as client:
        token = await client.get("/api/tasks", headers={"Authorization": f"Bearer {'x' * 8000}"})
        assert token.json()["code"] == "invalid_token"
        head = await client.get("/healthz", headers={f"X-{number}": "x" * 7800 for number in range(4)})
        assert head.status_code == 200
        one = await client.get("/healthz", headers={"X": "x" * 31_000})
        assert one.status_code == 200
        too_long = await client.get("/healthz", headers={f"X-{number}": "x" * 9000 for number in range(4)})
        assert (too_long.status_code, too_long.json()["code"]) == (400, "malformed_request")


async def test_a_link_that_repeats_a_long_query_gets_through(site: Site) -> None:
    headers = {"Authorization": f"Bearer {sign(UserId('linker'), SECRET, ExpectedClaims(), seconds=600)}"}
    async with httpx2.AsyncClient(base_url=site.nginx.address, trust_env=False, headers=headers) as client:
        for title in ("a", "b"):
            assert (await client.post("/api/tasks", json={"title": title})).status_code == 201
        page = await client.get("/api/tasks", params={"limit": "1", "unknown": "x" * 30_000})
        assert page.status_code == 200
        assert len(page.headers["Link"]) > 30_000


@asynccontextmanager
async def changed(site: Site, folder: Path, changes: Mapping[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of another nginx before the same instances, whose configuration has these changes."""
    first, second = (instance.port for instance in site.instances)
    async with (
        nginx(folder, first, second, changes) as proxy,
        httpx2.AsyncClient(base_url=proxy.address, trust_env=False) as client,
    ):
        yield client


async def test_the_rate_limit_responds_with_429_once_it_is_enabled(site: Site, tmp_path: Path) -> None:
    lines = enabled("limit_req_zone", "limit_req ", "limit_req_status")
    slowly = {line: uncommented.replace("rate=50r/s", "rate=1r/s") for line, uncommented in lines.items()}
    async with changed(site, tmp_path, slowly) as client:
        responses = await asyncio.gather(*(client.get("/healthz") for _ in range(200)))
        limited = [response for response in responses if response.status_code != 200]
        assert 50 < len(limited) <= 99, "a burst of 100 passes, and one request per second"
        for response in limited:
            assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
            check_problem(429, dict(response.headers), response.json(), "too_many_requests")
        await asyncio.sleep(2)
        assert (await client.get("/healthz")).status_code == 200


async def test_the_limit_of_requests_in_progress_responds_with_429_once_it_is_enabled(
    site: Site, tmp_path: Path
) -> None:
    lines = enabled("limit_conn_zone", "limit_conn ", "limit_conn_status")
    two = {line: changed.replace("progress 100", "progress 2") for line, changed in lines.items()}
    unfinished = b"POST /api/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
    async with changed(site, tmp_path, two) as client:
        host, port = client.base_url.host, client.base_url.port
        writers = [(await asyncio.open_connection(host, port))[1] for _ in range(2)]
        try:
            for writer in writers:
                writer.write(unfinished)
            async with asyncio.timeout(10):
                while (response := await client.get("/healthz")).status_code == 200:
                    pass  # nginx has not read both yet
        finally:
            for writer in writers:
                writer.close()
        assert response.headers["Retry-After"] == "1"
        check_problem(429, dict(response.headers), response.json(), "too_many_requests")
        async with asyncio.timeout(10):
            while (await client.get("/healthz")).status_code != 200:
                pass  # nginx has not noticed yet that they are closed


async def test_the_documentation_can_be_closed_to_the_public(site: Site, tmp_path: Path) -> None:
    paths = ("/docs", "/docs/start.js", "/openapi.json", "/readyz")
    async with httpx2.AsyncClient(base_url=site.nginx.address, trust_env=False) as client:
        assert [(await client.get(path)).status_code for path in paths] == [200] * 4
    async with changed(site, tmp_path, enabled("location ~", "return 404;", "}")) as client:
        for path in paths:
            response = await client.get(path)
            assert response.status_code == 404, path
            check_problem(404, dict(response.headers), response.json(), "not_found")
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/api/tasks")).json()["code"] == "missing_token"


def certify(folder: Path) -> None:
    """A certificate for 127.0.0.1, signed by itself, where nginx-tls.conf names one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "privkey.pem").write_bytes(private)


async def test_with_tls_every_response_has_hsts_the_errors_of_nginx_too(site: Site, tmp_path: Path) -> None:
    certify(tmp_path)
    port = free_port()
    tls = TLS.read_text().replace("/etc/letsencrypt/live/api.example.com", str(tmp_path))
    (tmp_path / "todo-tls.conf").write_text(tls.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"))
    first, second = (instance.port for instance in site.instances)
    changes = {"    server_tokens off;": "    include todo-tls.conf;\n    server_tokens off;"}
    accepted = ssl.create_default_context(cafile=tmp_path / "fullchain.pem")
    accepted.check_hostname = False
    async with (
        nginx(tmp_path, first, second, changes),
        httpx2.AsyncClient(base_url=f"https://127.0.0.1:{port}", trust_env=False, verify=accepted) as client,
    ):
        served = await client.get("/api/tasks")
        refused = await client.post("/api/tasks", content=b" " * 100_000)
    assert (served.status_code, refused.status_code) == (401, 413)
    for response in (served, refused):
        assert response.headers.get_list("Strict-Transport-Security") == ["max-age=31536000"]
