"""Clients that mean harm, in a process of their own: `python -m tests.faults.attackers NAME HOST PORT SECONDS`.

They come from another loopback address than the honest clients, and at a lower priority: their own CPU time is not what
is measured.
"""

import asyncio
import base64
import json
import os
import resource
import secrets
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import cycle
from typing import NamedTuple

from adapters.better_auth.identity import ExpectedClaims, sign
from domain.values import UserId

SECRET = "a secret of at least thirty-two bytes"
ADDRESS = "127.0.0.2"  # of the attackers
HOARDER = "hoarder"  # a user whose list has 20 MB
EMOJI = "emoji"  # a user with the longest descriptions: 1,000 tasks, 20 MB too
BLOCK = 64 * 1024


class Server(NamedTuple):
    host: str
    port: int
    seconds: float


Attack = Callable[[Server], Awaitable[None]]


def token(user: str = "mallory") -> str:
    return sign(UserId(user), SECRET, ExpectedClaims(), seconds=3600)


def head(method: str, path: str, *fields: str, bearer: str | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *fields]
    if bearer:
        lines.append(f"Authorization: Bearer {bearer}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def connect(server: Server, *, receive_buffer: int | None = None) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.bind((ADDRESS, 0))
    await asyncio.get_running_loop().sock_connect(connection, (server.host, server.port))
    return connection


async def send(connection: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(connection, data)


async def repeatedly(action: Callable[[], Awaitable[object]]) -> None:
    """Again and again: what the server closes is opened again."""
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            await action()
        await asyncio.sleep(0)


async def for_a_while(server: Server, actions: list[Awaitable[object]]) -> None:
    _, pending = await asyncio.wait([asyncio.ensure_future(each) for each in actions], timeout=server.seconds)
    for each in pending:
        each.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def pipelining(connections: int, request: bytes) -> Attack:
    """Requests as fast as the server takes them, and no response is read."""
    block = request * max(1, BLOCK // len(request))

    async def attack(server: Server) -> None:
        async def flood() -> None:
            connection = await connect(server, receive_buffer=4096)
            try:
                while True:
                    await send(connection, block)
            finally:
                connection.close()

        await for_a_while(server, [repeatedly(flood) for _ in range(connections)])

    return attack


def full_speed(connections: int, requests: Callable[[], Iterator[bytes]]) -> Attack:
    """Each connection sends the next request when it has the response to the last."""

    async def attack(server: Server) -> None:
        endless = requests()

        async def client() -> None:
            reader, writer = await asyncio.open_connection(server.host, server.port, local_addr=(ADDRESS, 0))
            try:
                while True:
                    writer.write(next(endless))
                    response = await reader.readuntil(b"\r\n\r\n")
                    length = response.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                    await reader.readexactly(int(length or 0))
            finally:
                writer.transport.abort()

        await for_a_while(server, [repeatedly(client) for _ in range(connections)])

    return attack


def staying(connections: int, first: Callable[[int], bytes], *, drip: bytes = b"", receive_buffer: int = 0) -> Attack:
    """Connections that send something, and then nothing, or one more byte each second. None is opened again."""

    async def attack(server: Server) -> None:
        async def client(number: int) -> None:
            connection = await connect(server, receive_buffer=receive_buffer or None)
            try:
                await send(connection, first(number))
                while True:
                    await asyncio.sleep(1)
                    if drip:
                        await send(connection, drip)
            finally:
                connection.close()

        await for_a_while(server, [client(number) for number in range(connections)])

    return attack


def leaving(connections: int, phases: list[bytes], leave: Callable[[socket.socket], None]) -> Attack:
    """Connections that come, send the next of these, and leave."""

    async def attack(server: Server) -> None:
        endless = cycle(phases)

        async def visit() -> None:
            connection = await connect(server)
            await send(connection, next(endless))
            await asyncio.sleep(0.005)
            leave(connection)
            await asyncio.sleep(0.02)
            connection.close()

        await for_a_while(server, [repeatedly(visit) for _ in range(connections)])

    return attack


def streaming(connections: int) -> Attack:
    """Bodies without an end, whatever the response."""

    async def attack(server: Server) -> None:
        fields = cycle([(f"Content-Length: {10**12}", b"x" * BLOCK), ("Transfer-Encoding: chunked", _chunk(BLOCK))])

        async def flood() -> None:
            connection, (field, block) = await connect(server), next(fields)
            try:
                await send(connection, head("POST", "/api/tasks", "Content-Type: application/json", field, bearer=mine))
                while True:
                    await send(connection, block)
            finally:
                connection.close()

        mine = token()
        await for_a_while(server, [repeatedly(flood) for _ in range(connections)])

    return attack


def _chunk(size: int) -> bytes:
    return b"%x\r\n" % size + b"x" * size + b"\r\n"


def _repeated(request: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: cycle([request])


def _distinct_tokens() -> Iterator[bytes]:
    return cycle([head("GET", "/api/tasks/1", bearer=token(f"m{number}")) for number in range(10_000)])


def _unknown_keys() -> Iterator[bytes]:
    claims = token().split(".")[1]

    def request() -> bytes:
        header = json.dumps({"alg": "EdDSA", "typ": "JWT", "kid": secrets.token_hex(8)}).encode()
        encoded = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
        return head("GET", "/api/tasks", bearer=f"{encoded}.{claims}.{'A' * 86}")

    return cycle([request() for _ in range(10_000)])


_POST = ("Content-Type: application/json", "Content-Length: 14")
_NEW = b'{"title": "x"}'
_VERSIONS = ", ".join(f'"{number:032x}"' for number in range(2000))


def attacks() -> dict[str, Attack]:
    mine, hoarder = token(), token(HOARDER)
    broken = f"{mine[:-6]}AAAAAA"
    get, post = head("GET", "/api/tasks/1", bearer=mine), head("POST", "/api/tasks", *_POST, bearer=mine) + _NEW
    anonymous = [head("GET", "/x"), head("POST", "/api/tasks", *_POST) + _NEW]
    whole_list = head("GET", "/api/tasks", bearer=hoarder)
    emoji = token(EMOJI)
    emoji_list, emoji_page = (head("GET", f"/api/tasks{query}", bearer=emoji) for query in ("", "?limit=200"))
    half_body = head("POST", "/api/tasks", *_POST, bearer=mine) + _NEW[:5]
    phases = [b"", get[:20], get, half_body, post, whole_list]
    tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2
    if_match = ("Content-Type: application/json", "Content-Length: 2")
    long_fields = [
        head("PATCH", "/api/tasks/1", *if_match, f"If-Match: {_VERSIONS[:length]}", bearer=mine) + b"{}"
        for length in (31_000, 65_536)
    ]
    return {
        **{
            f"pipelining-{connections}-{name}": pipelining(connections, request)
            for connections in (1, 50)
            for name, request in zip(
                ("get", "post", "anonymous-get", "anonymous-post"), (get, post, *anonymous), strict=True
            )
        },
        "slow-readers": staying(40, lambda _: whole_list, receive_buffer=4096),
        "slow-readers-emoji": staying(40, lambda _: emoji_list, receive_buffer=4096),
        "slow-readers-emoji-pages": staying(40, lambda _: emoji_page, receive_buffer=4096),
        "drip": staying(1000, lambda number: (get[:20], half_body)[number % 2], drip=b"x"),
        "idle": staying(2000, lambda _: head("GET", "/healthz")),
        "endless-bodies": streaming(20),
        "if-match": full_speed(8, lambda: cycle(long_fields)),
        "distinct-tokens": full_speed(8, _distinct_tokens),
        "unknown-keys": full_speed(8, _unknown_keys),
        "broken-token": full_speed(8, _repeated(head("GET", "/api/tasks", bearer=broken))),
        "half-closed": leaving(20, phases, lambda connection: connection.shutdown(socket.SHUT_WR)),
        "resets": leaving(20, phases, reset),
        "tls": leaving(20, [tls, secrets.token_bytes(4096)], lambda _: None),
    }


async def main(name: str, host: str, port: str, seconds: str) -> None:
    os.nice(10)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    await attacks()[name](Server(host, int(port), float(seconds)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
