"""Raw bytes on a socket: what uvicorn and httptools alone would let through."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Send

from entrypoints.server.protocol import MAX_HEAD_BYTES, HardenedHttpProtocol
from tests.cli.conftest import TIMEOUT, Serving, Todo


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[Serving]:
    with Todo(tmp_path_factory.mktemp("raw"), prepared).serve() as serving:
        yield serving


@pytest.fixture(scope="module")
def token(server: Serving) -> str:
    return server._todo.token("alice")


def talk(server: Serving, *pieces: bytes) -> bytes:
    """Everything that the server sends until it closes the connection."""
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except ConnectionError:
                break
        said = b""
        try:
            while piece := connection.recv(65536):
                said += piece
        except ConnectionResetError:
            pass  # it closed while we were still writing
        return said


def post(token: str, *fields: str) -> bytes:
    lines = ["POST /api/tasks HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json", *fields]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def status(said: bytes) -> int:
    return int(said.split(b" ")[1])


def test_a_request_written_by_hand_is_answered(server: Serving, token: str) -> None:
    body = b'{"title": "x"}'
    assert status(talk(server, post(token, f"Content-Length: {len(body)}"), body)) == 201


def test_a_chunked_body_is_read(server: Serving, token: str) -> None:
    said = talk(server, post(token, "Transfer-Encoding: chunked"), b'7\r\n{"title\r\n', b'7\r\n": "x"}\r\n0\r\n\r\n')
    assert status(said) == 201


def test_trailers_are_not_merged_into_the_header(server: Serving, token: str) -> None:
    trailer = f"Authorization: Bearer {token}".encode()
    said = talk(
        server, post("", "Transfer-Encoding: chunked", "Trailer: Authorization"), b"0\r\n" + trailer + b"\r\n\r\n"
    )
    assert status(said) == 401
    said = talk(
        server, post("", "Transfer-Encoding: chunked"), b'e\r\n{"title": "x"}\r\n0\r\n', trailer + b"\r\n", b"\r\n"
    )
    assert status(said) == 401


@pytest.mark.parametrize(
    "field",
    [
        b"X-Long: " + b"x" * MAX_HEAD_BYTES,
        b"\r\n".join(b"X-%d: %s" % (number, b"x" * 1000) for number in range(40)),
        b"X-Endless: " + b"x" * 5_000_000,
    ],
    ids=["one long", "many", "endless"],
)
def test_a_head_that_is_too_large_is_refused(server: Serving, field: bytes) -> None:
    said = talk(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n\r\n")
    assert not said or status(said) == 400
    assert status(talk(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"G\x00T /healthz HTTP/1.1\r\n\r\n",
        b"GET /heal\x00thz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nBad Name: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n folded: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello",
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 1e1\r\n\r\nhello",
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"BREW /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_a_malformed_request_is_400_and_the_connection_is_closed(server: Serving, request_: bytes) -> None:
    said = talk(server, request_)
    head, _, body = said.partition(b"\r\n\r\n")
    assert status(said) == 400
    assert b"Connection: close" in head
    assert b"X-Content-Type-Options: nosniff" in head
    assert b"Cache-Control: no-store" in head
    problem = json.loads(body)
    assert problem.keys() == {"status", "title", "code", "detail", "error", "message", "request_id"}
    assert (problem["status"], problem["code"]) == (400, "malformed_request")


def test_a_request_smuggled_in_a_body_is_not_answered(server: Serving, token: str) -> None:
    hidden = b"GET /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token.encode() + b"\r\n\r\n"
    upgrade = ("Upgrade: h2c", "Connection: Upgrade", f"Content-Length: {len(hidden)}")
    assert talk(server, post(token, *upgrade), hidden).count(b"HTTP/1.1") == 1
    both = post(token, f"Content-Length: {len(hidden)}", "Transfer-Encoding: chunked")
    assert talk(server, both, b"0\r\n\r\n", hidden).count(b"HTTP/1.1") == 1


def test_pipelined_requests_are_answered_in_order(server: Serving) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    said = talk(server, one * 5 + b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]] == [200] * 5 + [404]


def test_a_connection_is_used_for_many_requests(server: Serving, token: str) -> None:
    with server.client(token) as alice:
        for number in range(20):
            assert alice.post("/api/tasks", json={"title": str(number)}).status_code == 201


@pytest.mark.parametrize(
    "forged",
    [b"x\nforged", b"x\rforged", b"\x1b[2Jforged", b'"}\t{"event":"forged', b"\xe2\x80\xa8forged", b"%0aforged%1b[2J"],
)
def test_clients_cannot_forge_log_lines(server: Serving, token: str, forged: bytes) -> None:
    log = server._todo.folder / "log"
    before = log.read_text()
    body = b'{"title": "my own ' + forged.replace(b'"', b"'") + b'"}'
    fields = b"Host: x\r\nConnection: close\r\nAuthorization: Bearer " + token.encode() + b"\r\n"
    for head in (
        b"GET /api/" + forged + b"/tasks HTTP/1.1\r\n",
        b"GET /" + forged + b" HTTP/1.1\r\n",
        b"GET /api/tasks HTTP/1.1\r\nX-Request-ID: " + forged + b"\r\n",
        b"GET /api/tasks HTTP/1.1\r\nUser-Agent: " + forged + b"\r\n",
        b"POST /api/tasks HTTP/1.1\r\nContent-Length: %d\r\n" % len(body),
    ):
        talk(server, head + fields + b"\r\n" + (body if head.startswith(b"POST") else b""))
    added = log.read_text().removeprefix(before)
    assert {json.loads(line)["event"] for line in added.splitlines()} <= {"request", "Invalid HTTP request received."}
    for secret in ("forged", "my own", token, token.split(".")[1]):
        assert secret not in added


async def test_a_connection_whose_head_never_ends_is_closed() -> None:
    async def app(_scope: object, _receive: object, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    config = uvicorn.Config(app, http=HardenedHttpProtocol, lifespan="off", log_config=None, timeout_keep_alive=3600)
    config.load()
    state = uvicorn.server.ServerState()
    listening = await asyncio.get_running_loop().create_server(
        lambda: HardenedHttpProtocol(config=config, server_state=state, app_state={}, head_timeout=0.05),
        "127.0.0.1",
        0,
    )
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    for sent, answers in ((b"", 0), (whole[:30], 0), (whole + whole[:30], 1)):
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        writer.write(sent)
        with contextlib.suppress(ConnectionResetError):
            said = await asyncio.wait_for(reader.read(), TIMEOUT)
            assert said.count(b"HTTP/1.1 204") == answers
        writer.close()
    listening.close()
