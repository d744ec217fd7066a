"""One user with 100,000 tasks and 400 connections sends as much as the server takes; the others go on."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.better_auth.identity import ExpectedClaims, sign
from domain.values import UserId
from tests.faults.attack import FAST, is_fast
from tests.faults.scenario import NO_ERROR, SECRET, Stage, responses_within

pytestmark = pytest.mark.scenario

CONNECTIONS = 400
SECONDS = 4.0
TOKEN = sign(UserId("mallory"), SECRET, ExpectedClaims(), seconds=3600)

TASKS = """
    INSERT INTO tasks (user_id, title, description, completed, created_at, updated_at)
    SELECT 'mallory', md5(number::text), repeat('aA', 200), false, now(), now() + number * interval '1 ms'
    FROM generate_series(1, 100000) AS number
"""


def request(line: str, *headers: str, body: str = "", token: str = TOKEN) -> bytes:
    fields = [f"{line} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}", *headers]
    if body:
        fields += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*fields, "", body]).encode()


CREATE = {"line": "POST /api/tasks", "body": '{"title": "again"}'}
FLOODS = {
    "sorted pages": request("GET /api/tasks?sort=title&limit=1"),
    "sorted lists": request("GET /api/tasks?sort=title"),
    "searches": request("GET /api/tasks?limit=1&search=" + "aA" * 60 + "b"),
    "creations": request(**CREATE),
    "one idempotency key": request("POST /api/tasks", "Idempotency-Key: the-same", body=CREATE["body"]),
    "a broken token": request("GET /api/tasks", token=TOKEN[:-8] + "AAAAAAAA"),
}


@pytest.fixture(scope="module")
async def crowded(stage: Stage) -> Stage:
    await stage.cluster.execute(TASKS)
    await stage.cluster.execute("ANALYZE tasks")
    return stage


@asynccontextmanager
async def flooded(address: str, sent: bytes) -> AsyncIterator["asyncio.Future[str]"]:
    """The statuses that the flood got, afterwards."""
    port = address.rpartition(":")[2].strip("/")
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.flooding", port, str(CONNECTIONS)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert client.stdin
    client.stdin.write(b"%d\n" % len(sent) + sent)
    answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    try:
        yield answered
    finally:
        client.stdin.close()
        statuses, _ = await client.communicate()
        answered.set_result(statuses.decode())


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_user_who_floods_neither_fails_nor_delays_the_requests_of_others(crowded: Stage, kind: str) -> None:
    async with crowded.fault(f"flood of {kind}", NO_ERROR, responses_within(6)) as fault:
        fault.begins()
        async with flooded(crowded.address, FLOODS[kind]) as answered:
            await asyncio.sleep(SECONDS)
            fault.expect(is_fast(fault), FAST)
        fault.ends()
        fault.expect(answered.done() and ": " in answered.result(), "the flood is answered")
