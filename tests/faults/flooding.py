"""A client that floods: `python -m tests.faults.flooding PORT CONNECTIONS`.

Reads the size of a request and the request from standard input, and sends it on each connection again as soon as the
response has arrived, until standard input is closed. Then prints how many responses had which status.
"""

import asyncio
import sys
from collections import Counter


async def flood(port: int, request: bytes, statuses: Counter[int]) -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while True:
                writer.write(request)
                statuses[await _response(reader)] += 1
        except (OSError, EOFError):
            await asyncio.sleep(0.1)  # refused or closed: connects again


async def _response(reader: asyncio.StreamReader) -> int:
    """The status, after the whole response has been read."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    elif b"content-length: " in head:
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    return int(head.split()[1])


async def main() -> None:
    port, connections = map(int, sys.argv[1:])
    size = int(sys.stdin.buffer.readline())
    request, statuses = sys.stdin.buffer.read(size), Counter[int]()
    floods = [asyncio.create_task(flood(port, request, statuses)) for _ in range(connections)]
    await asyncio.to_thread(sys.stdin.buffer.read)
    for each in floods:
        each.cancel()
    sys.stdout.write(f"{dict(statuses)}\n")


if __name__ == "__main__":
    asyncio.run(main())
