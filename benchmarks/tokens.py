"""Tokens that every server verifies, and the JWKS endpoint for our server."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm

Algorithm = Literal["HS256", "EdDSA"]
SECRET = "a secret that signs benchmark tokens only"
LIFETIME = 86400  # seconds
_KID = "benchmark"


class Issuer:
    """Signs tokens and serves a JWKS as Better Auth does."""

    def __init__(self, port: int) -> None:
        self._private = Ed25519PrivateKey.generate()
        self.url = f"http://127.0.0.1:{port}"
        pem = self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.keys: dict[Algorithm, str] = {"HS256": SECRET, "EdDSA": pem.decode()}

    def token(self, user: str, algorithm: Algorithm = "HS256") -> str:
        now = int(time.time())
        claims = {"sub": user, "iat": now, "exp": now + LIFETIME, "iss": self.url, "aud": self.url}
        if algorithm == "HS256":
            return jwt.encode(claims, SECRET, algorithm)
        return jwt.encode(claims, self._private, algorithm, headers={"kid": _KID})

    def key_set(self) -> bytes:
        key = OKPAlgorithm.to_jwk(self._private.public_key(), as_dict=True)
        return json.dumps({"keys": [{**key, "alg": "EdDSA", "kid": _KID}]}).encode()


@contextmanager
def issuing() -> Iterator[Issuer]:
    """An issuer whose JWKS endpoint is available while the context is open."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    issuer = Issuer(server.server_port)

    class KeySet(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = issuer.key_set()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server.RequestHandlerClass = KeySet
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
