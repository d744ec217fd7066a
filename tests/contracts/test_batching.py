"""Batching: which calls share an execution, what each gets from it, and how long it waits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from adapters.postgres.batching import Arguments, Batcher
from adapters.postgres.connection import Rows
from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from adapters.postgres.sql import Statement
from adapters.postgres.statements import IDS, PAGES, STATEMENTS
from domain.errors import StorageUnavailable, TooManyRequests
from domain.listing import Selection, Sort
from domain.search import SearchText
from tests.contracts.task_repository import ALICE, KEY, LATER, MILK, NOON

LONG = 60.0
DOUBLE = Statement("double", "SELECT n, 2 * number", {"number": "bigint"}, batch_size=4, in_flight=2)


class Executor:
    """Executes DOUBLE without a database, as soon as a test allows it to finish."""

    def __init__(self) -> None:
        self.batches: list[list[object]] = []
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.second_batch = asyncio.Event()

    async def __call__(self, statement: Statement, calls: Sequence[Arguments], deadline: float) -> Sequence[Rows]:
        assert statement is DOUBLE
        numbers = [number for [number] in calls]
        self.batches.append(numbers)
        if len(self.batches) > 1:
            self.second_batch.set()
        await self.may_finish.wait()
        if 13 in numbers:
            raise ZeroDivisionError
        if 14 in numbers:
            return []
        return [[(2 * number,)] for number in numbers]  # type: ignore[operator]


@pytest.fixture
def executor() -> Executor:
    return Executor()


@pytest.fixture
def batcher(executor: Executor) -> Batcher:
    return Batcher(executor, in_flight=2, slow_after=LONG)  # a busy machine makes nothing slow


def soon() -> float:
    return asyncio.get_running_loop().time() + LONG


async def double(batcher: Batcher, number: int, deadline: float | None = None) -> object:
    [[doubled]] = await batcher.ask(DOUBLE, [number], soon() if deadline is None else deadline)
    return doubled


async def double_all(batcher: Batcher, numbers: Sequence[int]) -> list[object]:
    return await asyncio.gather(*(double(batcher, number) for number in numbers), return_exceptions=True)


async def settle() -> None:
    """Until everything that can happen by itself has happened."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_single_call_is_sent_alone(batcher: Batcher, executor: Executor) -> None:
    assert await double(batcher, 1) == 2
    assert await double(batcher, 1) == 2
    assert executor.batches == [[1], [1]]


async def test_concurrent_calls_share_batches_of_bounded_size(batcher: Batcher, executor: Executor) -> None:
    assert await double_all(batcher, range(10)) == [2 * number for number in range(10)]
    assert executor.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_calls_that_arrive_while_a_statement_is_in_flight_go_into_the_next_batch(
    batcher: Batcher, executor: Executor
) -> None:
    executor.may_finish.clear()
    first = asyncio.create_task(double(batcher, 0))
    await settle()
    others = asyncio.create_task(double_all(batcher, [1, 2]))
    await settle()
    assert executor.batches == [[0]]
    executor.may_finish.set()
    assert (await first, await others) == (0, [2, 4])
    assert executor.batches == [[0], [1, 2]]


async def test_a_failure_reaches_the_calls_of_its_batch_and_no_others(batcher: Batcher, executor: Executor) -> None:
    outcomes = await double_all(batcher, [13, 1, 2, 3, 4])
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError] * 4 + [int]


async def test_an_execution_without_outcomes_fails_its_calls_and_the_next_one_is_sent(batcher: Batcher) -> None:
    with pytest.raises(ValueError, match="zip"):
        await double(batcher, 14)
    assert await double(batcher, 1) == 2


async def test_cancelling_one_call_does_not_affect_the_batch(batcher: Batcher, executor: Executor) -> None:
    executor.may_finish.clear()
    calls = [asyncio.create_task(double(batcher, number)) for number in range(8)]
    await settle()
    for cancelled in (calls[0], calls[5]):
        cancelled.cancel()
    await settle()
    executor.may_finish.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [2, 4, 6, 8, 12, 14]
    assert executor.batches == [[0, 1, 2, 3], [4, 6, 7]], "a call that is cancelled while it waits is not sent"


async def test_a_call_fails_at_its_deadline_and_is_not_sent_afterwards(batcher: Batcher, executor: Executor) -> None:
    executor.may_finish.clear()
    first = asyncio.create_task(double(batcher, 0))
    await settle()
    for deadline in (asyncio.get_running_loop().time() + 0.01, 0.0):
        with pytest.raises(StorageUnavailable):
            await double(batcher, 1, deadline)
    executor.may_finish.set()
    assert await first == 0
    await settle()
    assert executor.batches == [[0]]


async def test_a_slow_statement_does_not_block_the_next_batch(executor: Executor) -> None:
    batcher = Batcher(executor, in_flight=2, slow_after=0.01)
    executor.may_finish.clear()
    slow = asyncio.create_task(double(batcher, 0))
    next_ = asyncio.create_task(double(batcher, 1))
    await settle()
    following = asyncio.create_task(double(batcher, 2))
    await asyncio.wait_for(executor.second_batch.wait(), LONG)
    executor.may_finish.set()
    assert [*await asyncio.gather(slow, next_, following)] == [0, 2, 4]


async def test_the_number_of_slow_statements_in_flight_is_bounded() -> None:
    running = most = 0

    async def execute(_: Statement, calls: Sequence[Arguments], _deadline: float) -> Sequence[Rows]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return [[(None,)] for _ in calls]

    batcher = Batcher(execute, in_flight=2, slow_after=0.0)
    await asyncio.gather(*(batcher.ask(replace(DOUBLE, batch_size=3), [number], soon()) for number in range(100)))
    assert most == 2


async def test_calls_beyond_the_longest_queue_are_refused_at_once(executor: Executor) -> None:
    batcher = Batcher(executor, in_flight=2, slow_after=LONG, longest_queue=6)
    executor.may_finish.clear()
    sent = [asyncio.create_task(double(batcher, number)) for number in range(4)]
    await settle()
    waiting = [asyncio.create_task(double(batcher, number)) for number in range(6)]
    await settle()
    assert batcher.waiting == 6
    with pytest.raises(StorageUnavailable):
        await double(batcher, 7)
    executor.may_finish.set()
    await asyncio.gather(*sent, *waiting)
    assert await double(batcher, 8) == 16
    counters = (batcher.refused, batcher.waiting, batcher.calls_sent, batcher.statements_sent)
    assert counters == (1, 0, 11, len(executor.batches))


async def test_a_failure_after_every_call_was_cancelled_goes_unnoticed(batcher: Batcher, executor: Executor) -> None:
    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    executor.may_finish.clear()
    call = asyncio.create_task(double(batcher, 13))
    await settle()
    call.cancel()
    await asyncio.wait([call])
    executor.may_finish.set()
    await settle()
    del call
    assert unhandled == []


@pytest.fixture
async def nowhere() -> AsyncIterator[Pool]:
    pool = Pool("host=nowhere", connections=1, prepare=None)
    yield pool
    await pool.close()


async def test_every_kind_of_statement_has_a_batcher_from_the_start(nowhere: Pool) -> None:
    pages = {"page_created", "page_created_desc", "scan"}
    removals = {"remove", "remove_oldest", "remove_all"}
    others = {"get", "count", "add", "add_once", "recall", "save", "save_again", "settle", "by_ids"} | removals
    batchers = Database(nowhere).batchers
    assert batchers.keys() == pages | others
    assert len({*batchers.values()}) == len(batchers)


async def test_without_batching_there_are_no_batchers(nowhere: Pool) -> None:
    assert not Database(nowhere, batching=False).batchers


async def test_statements_that_scan_share_one_queue_and_at_most_half_of_the_connections() -> None:
    scans = [statement for statement in STATEMENTS if statement.scans]
    assert {statement.name for statement in scans} == {"scan"}
    assert len(scans) == len(PAGES) - 2 + len(IDS)
    for connections, most in ((1, 1), (2, 1), (5, 2), (8, 4), (90, 4)):
        database = Database(Pool("host=nowhere", connections=connections, prepare=None))
        assert database.batchers["scan"]._most_in_flight == most


async def test_waiting_calls_are_taken_in_turn_by_owner(executor: Executor) -> None:
    batcher = Batcher(executor, in_flight=1, slow_after=LONG)
    executor.may_finish.clear()
    first = asyncio.create_task(double(batcher, 0))
    await settle()
    calls = [asyncio.create_task(double(batcher, number)) for number in [1, 1, 1, 1, 1, 1, 2, 3, 3]]
    await settle()
    executor.may_finish.set()
    await asyncio.gather(first, *calls)
    assert executor.batches == [[0], [1, 2, 3, 1], [3, 1, 1, 1], [1]]


async def test_one_owner_has_only_a_share_of_a_batch_whose_rows_may_be_large() -> None:
    large = replace(DOUBLE, owner_share=2)
    batches: list[list[object]] = []

    async def execute(statement: Statement, calls: Sequence[Arguments], deadline: float) -> Sequence[Rows]:
        batches.append([owner for [owner] in calls])
        return [[(owner,)] for [owner] in calls]

    batcher = Batcher(execute, in_flight=2, slow_after=LONG)
    await asyncio.gather(*(batcher.ask(large, [owner], soon()) for owner in "aaaaabcc"))
    assert batches == [["a", "b", "c", "a"], ["c", "a", "a"], ["a"]]


async def test_an_owner_who_floods_is_refused_and_others_are_not(executor: Executor) -> None:
    batcher = Batcher(executor, in_flight=1, slow_after=LONG, longest_queue=10, share=3)
    executor.may_finish.clear()
    first = asyncio.create_task(double(batcher, 0))
    await settle()
    flood = [asyncio.create_task(double(batcher, 1)) for _ in range(9)]
    await settle()
    other = asyncio.create_task(double(batcher, 2))
    await settle()
    executor.may_finish.set()
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    assert outcomes.count(2) == 3
    assert sum(isinstance(outcome, TooManyRequests) for outcome in outcomes) == 6
    assert batcher.refused == 0  # those are refused because the database is overloaded, whoever calls
    assert (await first, await other) == (0, 4)


async def test_the_repository_counts_its_calls_by_statement(pool: Pool) -> None:
    database = Database(pool)
    tasks = PostgresTaskRepository(database)
    task = await tasks.add(ALICE, MILK, NOON)
    for _ in range(2):
        await tasks.add(ALICE, MILK, NOON, KEY)
    await tasks.update(ALICE, task.id, lambda task: task.toggle(LATER))
    for selection in (Selection(sort=Sort.TITLE, descending=True), Selection(search=SearchText("milk"))):
        await tasks.page(ALICE, selection, limit=9)
    await tasks.remove(ALICE, task.id)
    sent = {name: batcher.calls_sent for name, batcher in database.batchers.items() if batcher.calls_sent}
    once = dict.fromkeys(["add", "recall", "settle", "save", "remove"], 1)
    assert sent == {**once, "add_once": 2, "get": 2, "scan": 2}
