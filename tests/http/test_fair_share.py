"""The share of one caller: what waits, what goes on, and what is refused."""

import asyncio
from collections import Counter
from typing import Any

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from domain.errors import TooManyRequests
from domain.values import UserId
from entrypoints.http.context import RequestContext
from entrypoints.http.middleware.fair_share import FairShare, _Share
from tests.http.conftest import Contract, assert_problem

ALICE, BOB = UserId("alice"), UserId("bob")


class Application:
    """Counts the requests in progress, which end when they may."""

    def __init__(self) -> None:
        self.in_progress: Counter[UserId | None] = Counter()
        self.may_end = asyncio.Event()
        self.refuses = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope["todo.context"].caller
        self.in_progress[caller] += 1
        try:
            if self.refuses:
                raise TooManyRequests
            await self.may_end.wait()
        finally:
            self.in_progress[caller] -= 1


@pytest.fixture
def application() -> Application:
    return Application()


def requests(share: FairShare, caller: UserId | None, number: int) -> "list[asyncio.Task[None]]":
    async def nothing(*_: Any) -> Any:
        raise AssertionError

    scopes = [{"type": "http", "todo.context": RequestContext("id", caller=caller)} for _ in range(number)]
    return [asyncio.ensure_future(share(scope, nothing, nothing)) for scope in scopes]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_more_requests_of_one_caller_wait_and_those_of_others_do_not(application: Application) -> None:
    share = FairShare(application, most=3, max_wait=60)
    sent = [*requests(share, ALICE, 10), *requests(share, BOB, 2), *requests(share, None, 9)]
    await turns()
    assert application.in_progress == {ALICE: 3, BOB: 2, None: 9}
    application.may_end.set()
    await asyncio.gather(*sent)
    assert not application.in_progress.total()
    assert not share._shares


async def test_a_request_that_is_cancelled_while_it_waits_takes_no_place(application: Application) -> None:
    share = FairShare(application, most=1, max_wait=60)
    first, second, third = requests(share, ALICE, 3)
    await turns()
    second.cancel()
    first.cancel()
    await turns()
    assert application.in_progress[ALICE] == 1
    third.cancel()
    await turns()
    assert not share._shares


async def test_a_request_that_is_cancelled_as_its_turn_comes_passes_it_on() -> None:
    share = _Share(most=1, max_wait=60)
    await share.enter()
    second, third = asyncio.ensure_future(share.enter()), asyncio.ensure_future(share.enter())
    await turns()
    share.leave()
    second.cancel()
    await turns()
    assert (second.cancelled(), third.done()) == (True, True)
    share.leave()
    assert not share.in_progress


async def test_a_request_that_waits_for_too_long_is_refused(application: Application) -> None:
    share = FairShare(application, most=1, max_wait=0.01)
    first, second = requests(share, ALICE, 2)
    with pytest.raises(TooManyRequests):
        await second
    application.may_end.set()
    await first
    assert not share._shares


async def test_a_refused_request_keeps_its_place_for_a_while(application: Application) -> None:
    application.refuses = True
    share = FairShare(application, most=1, max_wait=60, penalty=60)
    refused, waiting = requests(share, ALICE, 2)
    await turns()
    assert not refused.done()
    assert not waiting.done()
    for each in (refused, waiting):
        each.cancel()
    await asyncio.wait([refused, waiting])


async def test_a_caller_with_many_requests_gets_them_all_answered(
    alice: httpx2.AsyncClient, contract: Contract
) -> None:
    responses = await asyncio.gather(*(alice.get(contract.alice_path) for _ in range(100)))
    assert {response.status_code for response in responses} == {200}
    assert_problem(await alice.get(f"{contract.alice_path}/9"), 404, "task_not_found")
