"""Back-pressure, bounds on connections and early responses, on a server in this process with a small application."""

import asyncio
import contextlib
import gc
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from entrypoints.server import protocol
from entrypoints.server.connections import Connections, Limits
from entrypoints.server.protocol import MIN_READ, HardenedHttpProtocol
from entrypoints.server.starts import MAX_STARTS, Starts
from tests.cli.conftest import TIMEOUT

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Server:
    """`started` has a request for each that the application was called with."""

    def __init__(self) -> None:
        self.started: list[Scope] = []
        self.may_respond = asyncio.Event()
        self.protocols: list[HardenedHttpProtocol] = []
        self.clients: list[asyncio.StreamWriter] = []
        self.address: tuple[str, int] = ("", 0)
        self.connections: Connections

    async def wait_then_respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.started.append(scope)
        await self.may_respond.wait()
        await respond(scope, receive, send)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.address)
        self.clients.append(writer)
        return reader, writer


async def respond(_scope: Scope, _receive: Receive, send: Send, body: bytes = b"") -> None:
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


async def read_body(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    await respond(scope, receive, send, body)


@asynccontextmanager
async def serving(
    application: Application | None = None, limits: Limits | None = None, **named: Any
) -> AsyncIterator[Server]:
    server = Server()
    config = uvicorn.Config(application or server.wait_then_respond, lifespan="off", log_config=None, interface="asgi3")
    config.load()
    state = uvicorn.server.ServerState()
    server.connections = Connections.of(state)
    if limits:
        server.connections.limits = limits

    def make() -> HardenedHttpProtocol:
        server.protocols.append(HardenedHttpProtocol(config=config, server_state=state, app_state={}, **named))
        return server.protocols[-1]

    listening = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    server.address = listening.sockets[0].getsockname()
    try:
        yield server
    finally:
        server.may_respond.set()
        listening.close()
        for transport in [*(one.transport for one in server.protocols), *(one.transport for one in server.clients)]:
            transport.abort()
        for _ in range(3):  # turns of the event loop, in which they close
            await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 - conditions of a connection, which has no events
            await asyncio.sleep(0.005)


def pause_reading(writer: asyncio.StreamWriter) -> None:
    assert isinstance(writer.transport, asyncio.Transport)
    writer.transport.pause_reading()


async def read(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(TIMEOUT):
            while piece := await reader.read(65536):
                said += piece
    return said


@pytest.mark.parametrize("request_", [GET, POST + b"0123456789", GET + b"\r\n"], ids=["get", "post", "blank lines"])
async def test_at_most_one_pipelined_request_is_parsed_ahead_and_reading_pauses(request_: bytes) -> None:
    async with serving() as server:
        _, writer = await server.connect()
        writer.write(request_ * 5000)
        await until(lambda: server.protocols and server.protocols[0].flow.read_paused)
        [connection] = server.protocols
        assert len(server.started) == 1
        assert len(connection.pipeline) <= 1
        assert len(connection._unparsed) <= 256 * 1024
        connection.flow.resume_reading()  # as uvicorn does when the application reads the body
        assert connection.flow.read_paused
        writer.close()


async def test_all_of_many_pipelined_requests_are_answered_in_order() -> None:
    async with serving(read_body) as server:
        reader, writer = await server.connect()
        requests = [
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n%06d" % number if number % 3 else GET
            for number in range(3000)
        ]
        writer.write(b"".join(requests))
        expected = [b"" if not number % 3 else b"%06d" % number for number in range(3000)]
        for number, body in enumerate(expected):
            async with asyncio.timeout(TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                assert await reader.readexactly(length) == body, number
        writer.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_requests_that_arrive_in_small_pieces_are_answered(size: int) -> None:
    sent = (POST + b"0123456789" + GET) * 3
    async with serving(read_body) as server:
        reader, writer = await server.connect()
        for position in range(0, len(sent), size):
            writer.write(sent[position : position + size])
            await writer.drain()
            await asyncio.sleep(0)
        bodies = []
        for _ in range(6):
            async with asyncio.timeout(TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                bodies.append(await reader.readexactly(length))
        assert bodies == [b"0123456789", b""] * 3
        writer.close()


async def test_the_request_in_progress_learns_that_its_client_left_though_others_wait() -> None:
    ended = asyncio.Event()

    async def wait_for_the_end(scope: Scope, receive: Receive, _send: Send) -> None:
        if scope["method"] == "POST":
            await receive()
            assert (await receive())["type"] == "http.disconnect"
            ended.set()

    async with serving(wait_for_the_end) as server:
        _, writer = await server.connect()
        writer.write(POST + b"0123456789" + GET * 3)
        await until(lambda: server.protocols and server.protocols[0]._unparsed)
        server.protocols[0].transport.abort()
        async with asyncio.timeout(TIMEOUT):
            await ended.wait()
        writer.close()


async def test_a_response_before_the_end_of_the_body_announces_the_close_and_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "LINGER", 0.05)
    async with serving(respond) as server:
        reader, writer = await server.connect()
        writer.write(POST + b"0")
        said = await read(reader)
        assert said.lower().count(b"connection: close") == 1
        await until(lambda: server.protocols[0] not in server.protocols[0].connections)
        writer.close()


async def test_a_response_after_the_end_of_the_body_keeps_the_connection() -> None:
    async with serving(read_body) as server:
        reader, writer = await server.connect()
        for _ in range(2):
            writer.write(POST)
            await until(lambda: server.protocols and server.protocols[0].cycle)
            writer.write(b"0123456789")
            async with asyncio.timeout(TIMEOUT):
                assert b"close" not in (await reader.readuntil(b"0123456789")).lower()
        writer.close()


async def test_a_body_that_never_ends_is_given_up() -> None:
    async with serving(read_body, body_timeout=0.05) as server:
        reader, writer = await server.connect()
        writer.write(POST + b"0")
        assert await read(reader) == b""
        writer.close()


async def test_a_client_that_does_not_read_is_disconnected() -> None:
    async def respond_at_length(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(scope, receive, send, b"x" * 20_000_000)

    async with serving(respond_at_length, read_timeout=0.05) as server:
        _, writer = await server.connect()
        pause_reading(writer)
        writer.write(GET)
        await until(lambda: server.protocols and server.protocols[0] not in server.protocols[0].connections)
        writer.close()


async def test_a_client_that_reads_slowly_but_steadily_is_not_disconnected() -> None:
    async def respond_at_length(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(scope, receive, send, b"x" * 60_000_000)

    async with serving(respond_at_length) as server:
        reader, writer = await server.connect()
        writer.write(GET)
        await until(lambda: server.protocols and server.protocols[0].flow.write_paused)
        [connection] = server.protocols
        left = connection.transport.get_write_buffer_size()
        while connection.transport.get_write_buffer_size() > left - MIN_READ:
            await reader.readexactly(1_000_000)
        connection._check_reader()
        assert not connection.transport.is_closing()
        connection._check_reader()
        assert connection.transport.is_closing()
        writer.close()


async def test_if_too_much_waits_in_all_those_who_wait_longest_are_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("entrypoints.server.connections.MAX_UNREAD", 30_000_000)

    async def respond_at_length(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(scope, receive, send, b"x" * 20_000_000)

    async with serving(respond_at_length) as server:
        clients = []
        for number in range(3):
            _, writer = await server.connect()
            pause_reading(writer)
            writer.write(GET)
            clients.append(writer)
            await until(lambda: len(server.protocols) > number and server.protocols[number].cycle)  # noqa: B023
            await until(lambda: server.protocols[number].cycle.response_complete)  # noqa: B023
        await until(lambda: len(server.protocols[0].connections) == 1)
        assert server.protocols[2] in server.protocols[2].connections
        for writer in clients:
            writer.close()


async def test_a_connection_beyond_the_limit_gets_503_and_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LINGER", 0.05)
    async with serving(limits=Limits(connections=2, per_address=2)) as server:
        clients = [await server.connect() for _ in range(2)]
        for number, (_, writer) in enumerate(clients):
            writer.write(GET)
            await until(lambda: len(server.started) == number + 1)  # noqa: B023
        reader, writer = await server.connect()
        said = await read(reader)
        assert said.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"Retry-After: 1" in said
        assert b'"code":"too_many_connections"' in said
        for _, one in [*clients, (reader, writer)]:
            one.close()


async def test_the_connection_that_was_idle_for_longest_makes_room() -> None:
    async with serving(respond, limits=Limits(connections=2, per_address=9)) as server:
        clients = [await server.connect() for _ in range(2)]
        await until(lambda: len(server.protocols) == 2)
        clients[0][1].write(GET)  # so that the other one has been idle for longer
        await clients[0][0].readuntil(b"\r\n\r\n")
        reader, writer = await server.connect()
        assert await read(clients[1][0]) == b""
        for one in (clients[0], (reader, writer)):
            one[1].write(GET)
            async with asyncio.timeout(TIMEOUT):
                assert b"200 OK" in await one[0].readuntil(b"\r\n\r\n")
        for _, one_writer in [*clients, (reader, writer)]:
            one_writer.close()


async def test_a_connection_whose_request_has_just_arrived_does_not_make_room() -> None:
    """A busy event loop may not have read it yet."""
    async with serving(respond, limits=Limits(connections=2, per_address=9)) as server:
        clients = [await server.connect() for _ in range(2)]
        await until(lambda: len(server.protocols) == 2)
        longest = next(iter(server.connections._idle)).client
        sending, other = sorted(clients, key=lambda one: one[1].get_extra_info("sockname") != longest)
        os.write(sending[1].get_extra_info("socket").fileno(), GET)
        assert server.connections._close_idle()
        assert await read(other[0]) == b""
        async with asyncio.timeout(TIMEOUT):
            assert b"200 OK" in await sending[0].readuntil(b"\r\n\r\n")
        sending[1].close()


async def test_connections_that_left_are_not_counted() -> None:
    async with serving(respond, limits=Limits(connections=1, per_address=1)) as server:
        for number in range(5):
            reader, writer = await server.connect()
            writer.write(GET)
            async with asyncio.timeout(TIMEOUT):
                assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            writer.close()
            await until(lambda: not server.protocols[number].connections)  # noqa: B023
        assert server.connections._by_address == {}


@pytest.mark.parametrize("draining", [False, True])
async def test_a_request_that_follows_the_last_response_is_not_executed(*, draining: bool) -> None:
    """RFC 9112 section 9.6: its client may send it again elsewhere."""
    async with serving() as server:
        reader, writer = await server.connect()
        await until(lambda: server.protocols)
        if draining:
            server.protocols[0].server_state.default_headers.append((b"connection", b"close"))
        server.may_respond.set()
        writer.write((GET if draining else b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n") + GET * 2)
        assert (await read(reader)).count(b"HTTP/1.1 ") == 1
        assert len(server.started) == 1


async def test_a_request_that_follows_an_early_response_is_not_executed() -> None:
    async with serving(None) as server:
        server.may_respond.set()
        reader, writer = await server.connect()
        writer.write(POST)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"0123456789" + GET + GET)
        await read(reader)
        assert len(server.started) == 1


async def test_trailers_and_chunk_extensions_have_a_bound() -> None:
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nTrailer: "
    async with serving(read_body) as server:
        reader, writer = await server.connect()
        with contextlib.suppress(ConnectionError):
            writer.write(chunked)
            for _ in range(64):
                writer.write(b"x" * 16384)
                await writer.drain()
        assert b" 400 " in (await read(reader)).split(b"\r\n")[0]
        assert server.protocols[0]._body_size <= protocol.MAX_BODY_BYTES + 256 * 1024


async def test_a_body_in_chunks_of_one_byte_is_read() -> None:
    async with serving(read_body) as server:
        reader, writer = await server.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"1\r\nx\r\n" * 65536 + b"0\r\n\r\n")
        async with asyncio.timeout(TIMEOUT):
            assert b"content-length: 65536" in await reader.readuntil(b"\r\n\r\n")


async def test_few_requests_begin_in_a_turn_of_the_event_loop() -> None:
    turns: list[int] = []
    turn, starts = 0, Starts()
    for _ in range(100):
        starts.begin(lambda: turns.append(turn))
    assert len(turns) == MAX_STARTS
    while len(turns) < 100:
        turn += 1
        await asyncio.sleep(0)
    assert max(turns.count(each) for each in turns) == MAX_STARTS
    assert turns == sorted(turns)


@pytest.mark.parametrize("size", [3, 200_000])
async def test_nothing_of_a_response_is_sent_before_its_body_begins(size: int) -> None:
    """The specification of ASGI demands it of servers."""
    server: Server

    async def wait_between(scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        server.started.append(scope)
        await server.may_respond.wait()
        await send({"type": "http.response.body", "body": b"x" * size})

    async with serving(wait_between) as server:
        loop = asyncio.get_running_loop()
        with socket.create_connection(server.address) as client:
            client.setblocking(False)
            await loop.sock_sendall(client, GET)
            await until(lambda: server.started)
            with pytest.raises(BlockingIOError):
                client.recv(1)
            server.may_respond.set()
            said = b""
            async with asyncio.timeout(TIMEOUT):
                while not said.endswith(b"\r\n\r\n" + b"x" * size):
                    said += await loop.sock_recv(client, 65536)
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What responses write to their transport, one element per call."""
    written: list[bytes] = []

    class Recorder:
        def __init__(self, transport: asyncio.Transport) -> None:
            self._transport = transport
            self.is_closing = transport.is_closing

        def write(self, data: bytes) -> None:
            written.append(data)
            self._transport.write(data)

    class Recorded(protocol._ResponseTransport):
        def __init__(self, transport: Any, close: Callable[[], None], *, has_body: bool) -> None:
            super().__init__(Recorder(transport), close, has_body=has_body)  # type: ignore[arg-type]

    monkeypatch.setattr(protocol, "_ResponseTransport", Recorded)
    return written


async def test_the_head_and_a_small_body_are_one_write(writes: list[bytes]) -> None:
    async with serving(read_body) as server:
        reader, writer = await server.connect()
        for request in (GET, POST + b"0123456789", POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")):
            writer.write(request)
            if b"Expect" in request:
                async with asyncio.timeout(TIMEOUT):
                    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(b"0123456789")
            async with asyncio.timeout(TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(0 if request is GET else 10)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert [write.partition(b"\r\n\r\n")[2] for write in writes] == [b"", b"0123456789", b"", b"0123456789"]


async def test_a_large_body_is_not_copied_behind_its_head(writes: list[bytes]) -> None:
    body = b"x" * (protocol.MAX_JOINED + 1)

    async def respond_at_length(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(scope, receive, send, body)

    async with serving(respond_at_length) as server:
        reader, writer = await server.connect()
        writer.write(GET)
        async with asyncio.timeout(TIMEOUT):
            await reader.readuntil(b"\r\n\r\n" + body)
    assert writes[1:] == [body]


async def test_a_response_to_head_is_sent_though_no_body_follows() -> None:
    async with serving(respond) as server:
        reader, writer = await server.connect()
        for _ in range(2):
            writer.write(b"HEAD" + GET.removeprefix(b"GET"))
            async with asyncio.timeout(TIMEOUT):
                assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")


async def test_a_response_without_its_body_is_sent_and_the_connection_closed() -> None:
    async def fail(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        raise ZeroDivisionError

    async with serving(fail) as server:
        reader, writer = await server.connect()
        writer.write(GET)
        said = await read(reader)
        assert said.startswith(b"HTTP/1.1 200 OK\r\n")
        assert said.endswith(b"\r\n\r\n")


async def test_requests_leave_no_garbage_to_the_collector() -> None:
    async with serving(read_body) as server:
        reader, writer = await server.connect()

        async def ask(times: int) -> None:
            for _ in range(times):
                writer.write(POST + b"0123456789")
                async with asyncio.timeout(TIMEOUT):
                    await reader.readuntil(b"\r\n\r\n0123456789")

        await ask(3)
        gc.collect()
        gc.disable()
        try:
            await ask(100)
            assert gc.collect() < 100
        finally:
            gc.enable()
