"""Calls that share a statement: who is answered what, and who is kept waiting."""

import asyncio
from collections.abc import Awaitable, Sequence

import pytest

from adapters.postgres import batching as lanes
from adapters.postgres.batching import Lane
from adapters.postgres.pool import Pool
from adapters.postgres.repository import SqlModelTaskRepository
from domain.errors import StorageUnavailable
from domain.listing import Sort

LONG = 10.0


class Sent:
    """Answers each number by its double, when a test lets it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.twice = asyncio.Event()

    async def __call__(self, numbers: Sequence[int], until: float) -> Sequence[int]:
        self.batches.append([*numbers])
        if len(self.batches) > 1:
            self.twice.set()
        await self.may_answer.wait()
        if 13 in numbers:
            raise ZeroDivisionError
        return [2 * number for number in numbers]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine makes nothing slow."""
    monkeypatch.setattr(lanes, "PATIENCE_SECONDS", LONG)


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def lane(sent: Sent) -> Lane[int, int]:
    return Lane(sent, statements=2, calls=4)


def soon() -> float:
    return asyncio.get_running_loop().time() + LONG


async def all_of(lane: Lane[int, int], numbers: Sequence[int]) -> list[int | BaseException]:
    return await asyncio.gather(*(lane.ask(number, soon()) for number in numbers), return_exceptions=True)


async def a_moment() -> None:
    """Until everything that could happen by itself has happened."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_call_alone_is_sent_alone(lane: Lane[int, int], sent: Sent) -> None:
    assert await lane.ask(1, soon()) == 2
    assert await lane.ask(1, soon()) == 2
    assert sent.batches == [[1], [1]]


async def test_calls_at_the_same_moment_share_statements_of_bounded_size(lane: Lane[int, int], sent: Sent) -> None:
    assert await all_of(lane, range(10)) == [2 * number for number in range(10)]
    assert sent.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_whoever_comes_while_one_is_under_way_forms_the_next(lane: Lane[int, int], sent: Sent) -> None:
    sent.may_answer.clear()
    first = asyncio.create_task(lane.ask(0, soon()))
    await a_moment()
    others = asyncio.create_task(all_of(lane, [1, 2]))
    await a_moment()
    assert sent.batches == [[0]]
    sent.may_answer.set()
    assert (await first, await others) == (0, [2, 4])
    assert sent.batches == [[0], [1, 2]]


async def test_a_failure_reaches_those_who_shared_the_statement_and_nobody_else(
    lane: Lane[int, int], sent: Sent
) -> None:
    answers = await all_of(lane, [13, 1, 2, 3, 4])
    assert [type(answer) for answer in answers] == [ZeroDivisionError] * 4 + [int]


async def test_whoever_is_cancelled_takes_nobody_along(lane: Lane[int, int], sent: Sent) -> None:
    sent.may_answer.clear()
    calls = [asyncio.create_task(lane.ask(number, soon())) for number in range(8)]
    await a_moment()
    for cancelled in (calls[0], calls[5]):
        cancelled.cancel()
    await a_moment()
    sent.may_answer.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, int)] == [2, 4, 6, 8, 12, 14]
    assert sent.batches == [[0, 1, 2, 3], [4, 6, 7]], "what nobody waits for is not sent"


async def test_a_call_ends_at_its_deadline_and_is_not_sent_afterwards(lane: Lane[int, int], sent: Sent) -> None:
    sent.may_answer.clear()
    first = asyncio.create_task(lane.ask(0, soon()))
    await a_moment()
    for late in (asyncio.get_running_loop().time() + 0.01, 0.0):
        with pytest.raises(StorageUnavailable):
            await lane.ask(1, late)
    sent.may_answer.set()
    assert await first == 0
    await a_moment()
    assert sent.batches == [[0]]


async def test_a_slow_statement_does_not_hold_up_the_next(
    lane: Lane[int, int], sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "PATIENCE_SECONDS", 0.01)
    sent.may_answer.clear()
    slow = asyncio.create_task(lane.ask(0, soon()))
    next_ = asyncio.create_task(lane.ask(1, soon()))
    await a_moment()
    following = asyncio.create_task(lane.ask(2, soon()))
    await asyncio.wait_for(sent.twice.wait(), LONG)
    sent.may_answer.set()
    assert [*await asyncio.gather(slow, next_, following)] == [0, 2, 4]


async def test_no_more_slow_statements_run_at_once_than_there_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "PATIENCE_SECONDS", 0.0)
    running = most = 0

    async def send(numbers: Sequence[int], _until: float) -> Sequence[int]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return numbers

    await all_of(Lane(send, statements=2, calls=3), range(100))
    assert most == 2


async def test_more_than_may_wait_are_refused_at_once(
    lane: Lane[int, int], sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "LONGEST_QUEUE", 6)
    sent.may_answer.clear()
    sent_already = [asyncio.create_task(lane.ask(number, soon())) for number in range(4)]
    await a_moment()
    waiting = [asyncio.create_task(lane.ask(number, soon())) for number in range(6)]
    await a_moment()
    assert lane.waiting == 6
    with pytest.raises(StorageUnavailable):
        await lane.ask(7, soon())
    sent.may_answer.set()
    await asyncio.gather(*sent_already, *waiting)
    assert await lane.ask(8, soon()) == 16
    assert (lane.refused, lane.waiting, lane.calls_sent, lane.statements_sent) == (1, 0, 11, len(sent.batches))


async def test_a_failure_that_nobody_waits_for_surprises_nobody(lane: Lane[int, int], sent: Sent) -> None:
    surprises: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: surprises.append(context))
    sent.may_answer.clear()
    abandoned: Awaitable[object] = (call := asyncio.create_task(lane.ask(13, soon())))
    await a_moment()
    call.cancel()
    await asyncio.wait([call])
    sent.may_answer.set()
    await a_moment()
    del abandoned
    assert surprises == []


def test_every_lane_of_the_repository_can_be_looked_at() -> None:
    repository = SqlModelTaskRepository(Pool("host=nowhere", connections=1, prepare=None))
    single = [part for part in vars(repository).values() if isinstance(part, Lane)]
    paging = [*repository._paging.values()]
    assert (len(single), len(paging)) == (7, 2 * len(Sort))
    assert {*repository.lanes.values()} == {*single, *paging}
    assert [lane for name, lane in repository.lanes.items() if name.startswith("page_")] == paging
