"""A stand-in for Neon Auth on loopback: its addresses, claims and key format, as Neon documents them (November 2026).

Nothing here was compared with the service itself.
"""

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PATH = "/neondb/auth"
"""Of the base URL: the name of the database, and a fixed word."""


class NeonAuth:
    """Serves its JWKS below the base URL, with a key pair of its own."""

    def __init__(self) -> None:
        self.origin = ""
        self.requests: list[str] = []
        """The paths that were requested."""
        self._key, self._kid = Ed25519PrivateKey.generate(), str(uuid4())

    @property
    def base_url(self) -> str:
        return self.origin + PATH

    def token(self, user: str, **changed: Any) -> str:
        """As `authClient.token()` returns it. A claim set to ... is omitted."""
        now = int(time.time())
        claims = {
            "iat": now,
            "name": "A user",
            "email": "user@example.com",
            "emailVerified": True,
            "image": None,
            "createdAt": "2026-11-25T09:30:00.000Z",
            "updatedAt": "2026-11-25T09:30:00.000Z",
            "role": "authenticated",
            "banned": False,
            "banReason": None,
            "banExpires": None,
            "id": user,
            "sub": user,
            "exp": now + 900,
            "iss": self.origin,
            "aud": self.origin,
            **changed,
        }
        named = {name: value for name, value in claims.items() if value is not ...}
        headers = {"kid": self._kid, "typ": None}
        return jwt.PyJWS().encode(json.dumps(named).encode(), self._key, "EdDSA", headers)

    def anonymous_token(self) -> str:
        """As `GET <base URL>/token/anonymous` gives it to anybody."""
        return self.token(str(uuid4()), role="anonymous", email=..., name=..., id=...)

    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def key_set(self) -> bytes:
        x = urlsafe_b64encode(self.public_key()).rstrip(b"=").decode()
        key = {"alg": "EdDSA", "crv": "Ed25519", "x": x, "kty": "OKP", "kid": self._kid}
        return json.dumps({"keys": [key]}).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.requests.append(path)
        found = path == f"{PATH}/.well-known/jwks.json"
        body, status = (self.key_set(), "200 OK") if found else (b'{"message":"Not found"}', "404 Not Found")
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def neon_auth() -> AsyncIterator[NeonAuth]:
    neon = NeonAuth()
    listening = await asyncio.start_server(neon.serve, "127.0.0.1", 0)
    neon.origin = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield neon
    finally:
        listening.close()
