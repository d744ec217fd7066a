"""A JWKS endpoint on loopback that misbehaves as a test wants, and keys to sign with."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

ORIGIN = "https://app.example.com"
ALGORITHMS = ("EdDSA", "ES256", "RS256", "PS256", "ES512")

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@cache
def private_key(algorithm: str, number: int = 0) -> Any:
    """A different key for each number, generated once: RSA keys take a while."""
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm in ("RS256", "PS256"):
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1() if algorithm == "ES256" else ec.SECP521R1())


def public_jwk(algorithm: str, number: int = 0, **more: Any) -> dict[str, Any]:
    """As Better Auth publishes it."""
    key = private_key(algorithm, number).public_key()
    jwk = get_default_algorithms()[algorithm].to_jwk(key, as_dict=True)
    jwk.pop("key_ops", None)
    return {**jwk, "alg": algorithm, "kid": f"{algorithm}-{number}", **more}


def token(algorithm: str = "EdDSA", number: int = 0, *, kid: str | None = None, **changed: Any) -> str:
    """A valid token. A claim set to ... is omitted."""
    now = int(time.time())
    claims = {"sub": "alice", "iat": now, "exp": now + 900, "iss": ORIGIN, "aud": ORIGIN, "email": "a@b.c", **changed}
    headers = {"kid": kid or f"{algorithm}-{number}", "typ": None}
    claims = {name: value for name, value in claims.items() if value is not ...}
    return jwt.encode(claims, private_key(algorithm, number), algorithm, headers=headers)


def key_set(*keys: dict[str, Any]) -> Behaviour:
    return answer(json.dumps({"keys": list(keys)}).encode())


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> Behaviour:
    async def behave(writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nContent-Type: application/json\r\n{headers}"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()

    return behave


class KeyServer:
    """Handles each request by its current `behaviour`, and counts them."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.count = 0
        self.url = ""
        self._arrived = asyncio.Condition()

    async def requests(self, number: int) -> None:
        """Returns when so many requests have arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.count >= number)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            async with self._arrived:
                self.count += 1
                self._arrived.notify_all()
            await self.behaviour(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has hung up
        finally:
            writer.close()


@asynccontextmanager
async def key_server(behaviour: Behaviour) -> AsyncIterator[KeyServer]:
    server = KeyServer(behaviour)
    listening = await asyncio.start_server(server._serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/api/auth/jwks"
    try:
        yield server
    finally:
        listening.close()
