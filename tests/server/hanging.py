"""An application whose event loop a request can block, and which does not start while a file named BROKEN exists."""

import os
import time

from starlette.types import Receive, Scope, Send


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if scope["path"] == "/hang":
        while True:
            time.sleep(0.1)  # noqa: ASYNC251 - as a fault would
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    broken = os.path.exists(os.environ["BROKEN"])  # noqa: PTH110, ASYNC240
    await send({"type": "lifespan.startup.failed" if broken else "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
