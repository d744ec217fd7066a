"""Keyset pagination, sorting and search of lists."""

import base64
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.listing import Position, Selection, Sort
from domain.task import Task
from domain.values import TaskId, Title
from entrypoints.http import cursors
from tests.http.conftest import Contract, invalid_fields
from tests.strategies import selections, tasks

Client = httpx2.AsyncClient


async def create_tasks(client: Client, contract: Contract, *titles: str) -> None:
    for title in titles:
        (await client.post(contract.alice_path, json={"title": title})).raise_for_status()


async def pages(client: Client, url: str) -> list[list[str]]:
    """The titles of each page, following the `next` links."""
    found = []
    while True:
        response = (await client.get(url)).raise_for_status()
        found.append([task["title"] for task in response.json()])
        if "next" not in response.links:
            return found
        url = response.links["next"]["url"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=2", ["ca", "bd", "e"]),
        ("limit=5", ["cabde"]),
        ("limit=200", ["cabde"]),
        ("limit=2&order=desc", ["ed", "ba", "c"]),
        ("limit=2&sort=title", ["ab", "cd", "e"]),
        ("limit=4&sort=Title&order=DESC", ["edcb", "a"]),
        ("limit=3&sort=updated&order=desc&_t=5", ["edb", "ac"]),
        ("sort=title&order=desc", ["edcba"]),
        ("order=desc", ["edbac"]),
        ("search=B&limit=1", ["b"]),
        ("sort=&order=&limit=&cursor=&search=&offset=&skip=&sort_by=&sort_order=&order_by=", ["cabde"]),
        ("sort=created_at&order=desc", ["edbac"]),
        ("sort=createdAt&sort_order=DESC", ["edbac"]),
        ("sort_by=title&sort_order=desc", ["edcba"]),
        ("order_by=updated_at&order=desc", ["edbac"]),
        ("sort=UPDATEDAT", ["cabde"]),
        ("sort=due_date&order=desc", ["edbac"]),
        ("sort=&sort_by=priority", ["cabde"]),
        ("sort=title&sort_by=created&order=asc&sort_order=desc", ["abcde"]),
        ("offset=1&limit=2", ["ab", "de"]),
        ("skip=3&limit=2&sort=title", ["de"]),
        ("offset=0&limit=3", ["cab", "de"]),
        ("offset=3", ["de"]),
        ("offset=5&limit=1", [""]),
        ("skip=10000", [""]),
        ("offset=0&skip=3&limit=3", ["cab", "de"]),
        ("offset=&skip=3&limit=3", ["de"]),
    ],
)
async def test_next_links_lead_through_the_whole_list(
    alice: Client, contract: Contract, query: str, expected: list[str]
) -> None:
    await create_tasks(alice, contract, *"cabde")
    assert ["".join(page) for page in await pages(alice, f"{contract.alice_path}?{query}")] == expected


async def test_pages_are_stable_while_tasks_are_created_and_deleted(alice: Client, contract: Contract) -> None:
    await create_tasks(alice, contract, *"abcdef")
    first = await alice.get(contract.alice_path, params={"limit": 2})
    for task in first.json():
        await alice.delete(f"{contract.alice_path}/{task['id']}")
    await create_tasks(alice, contract, "g")
    assert await pages(alice, first.links["next"]["url"]) == [["c", "d"], ["e", "f"], ["g"]]


async def test_an_offset_counts_tasks_of_the_filter_from_the_cursor_if_there_is_one(
    alice: Client, contract: Contract
) -> None:
    for number in range(450):
        await create_tasks(alice, contract, f"{number}")
    deep = await alice.get(contract.alice_path, params={"offset": 447, "limit": 2})
    assert [task["title"] for task in deep.json()] == ["447", "448"]
    found = await alice.get(contract.alice_path, params={"offset": 2, "limit": 1, "search": "44"})
    assert [task["title"] for task in found.json()] == ["244"]
    beyond = await alice.get(found.links["next"]["url"] + "&offset=1")
    assert [task["title"] for task in beyond.json()] == ["440"]


async def test_a_next_link_keeps_the_filter_and_the_contract(alice: Client, contract: Contract) -> None:
    for title in "abc":
        await alice.post(contract.alice_path, json={"title": f"{title} ü&", "completed": True})
        await create_tasks(alice, contract, title)
    first = await alice.get(contract.alice_path, params={"limit": 2, "status": "completed", "search": "ü&"})
    link = urlsplit(first.links["next"]["url"])
    assert link.path == contract.alice_path
    assert {("limit", "2"), ("status", "completed"), ("search", "ü&")} < set(parse_qsl(link.query))
    assert await pages(alice, first.links["next"]["url"]) == [["c ü&"]]


async def test_a_cursor_without_a_limit_returns_all_remaining_tasks(alice: Client, contract: Contract) -> None:
    await create_tasks(alice, contract, *"abcde")
    first = await alice.get(contract.alice_path, params={"limit": 2})
    cursor = dict(parse_qsl(urlsplit(first.links["next"]["url"]).query))["cursor"]
    assert await pages(alice, f"{contract.alice_path}?{urlencode({'cursor': cursor})}") == [["c", "d", "e"]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("limit", value) for value in ["0", "201", "-1", "1.0", "x", "01", "٣", "9999999999", " 5"]),
        *(("sort", value) for value in ["id", "created,title", "desc"]),
        *(("order", value) for value in ["down", "1"]),
        *((name, value) for name in ("offset", "skip") for value in ["-1", "10001", "1.0", "00"]),
        ("sort_by", "id"),
        ("order_by", "desc"),
        ("sort_order", "down"),
        *(("search", value) for value in ["x" * 256, "a\0b"]),
        *(("cursor", value) for value in ["x", "AAAA", "ü", "A" * 5000, base64.b64encode(b"x" * 40).decode()]),
    ],
)
async def test_an_invalid_parameter_is_named(alice: Client, contract: Contract, field: str, value: str) -> None:
    await create_tasks(alice, contract, "a")
    assert invalid_fields(await alice.get(contract.alice_path, params={field: value}), contract) == [field]


async def test_a_cursor_is_valid_for_its_own_query_only(alice: Client, bob: Client, contract: Contract) -> None:
    await create_tasks(alice, contract, *"abc")
    first = await alice.get(contract.alice_path, params={"limit": 1, "status": "all"})
    cursor = dict(parse_qsl(urlsplit(first.links["next"]["url"]).query))["cursor"]
    assert (await alice.get(contract.alice_path, params={"limit": 3, "cursor": cursor})).status_code == 200
    for other in ({"completed": "false"}, {"search": "b"}, {"sort": "title"}, {"order": "desc"}):
        response = await alice.get(contract.alice_path, params={"limit": 1, "cursor": cursor, **other})
        assert invalid_fields(response, contract) == ["cursor"]
    assert (await bob.get(contract.bob_path, params={"cursor": cursor})).json() == [], (
        "a cursor grants no access to another user's tasks"
    )


@given(tasks, selections)
def test_a_cursor_round_trips(task: Task, selection: Selection) -> None:
    position = selection.position(task)
    assert cursors.read(cursors.write(position, selection), selection) == position


@given(tasks, selections, selections)
def test_a_cursor_of_another_query_is_invalid(task: Task, selection: Selection, other: Selection) -> None:
    assume(selection != other)
    with pytest.raises(InvalidValue):
        cursors.read(cursors.write(selection.position(task), selection), other)


@given(st.data())
@settings(suppress_health_check=list(HealthCheck))
def test_a_tampered_cursor_is_invalid_or_a_valid_position(data: st.DataObject) -> None:
    """Every change either is refused or leaves a cursor with a well-formed position."""
    selection = Selection(sort=Sort.TITLE)
    cursor = cursors.write(Position("a title", TaskId(7)), selection)
    at = data.draw(st.integers(0, len(cursor) - 1))
    letter = data.draw(st.sampled_from("ABCXYZabcxyz0189-_=+/ \n"))
    for tampered in (cursor[:at] + letter + cursor[at + 1 :], cursor[:at] + letter + cursor[at:], cursor[:at]):
        try:
            position = cursors.read(tampered, selection)
        except InvalidValue:
            continue
        assert isinstance(position.value, Title)
        assert isinstance(position.id, TaskId)


def forged(position: list[Any], sort: Sort) -> str:
    body = orjson.dumps([None, None, sort.value, False, *position])
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "position", [["\0", 7], ["x", 0], ["x", "7"], ["x", True], ["x", 1.5], ["x"], [7, 7], [None, 7]]
)
@pytest.mark.parametrize("sort", [Sort.TITLE, Sort.UPDATED])
def test_a_cursor_with_an_impossible_position_is_invalid(position: list[Any], sort: Sort) -> None:
    with pytest.raises(InvalidValue):
        cursors.read(forged(position, sort), Selection(sort=sort))


@pytest.mark.parametrize("time", ["2026-01-04T12:00:00+23:59:59", "2026-01-04T12:00:00-23:59", "2026-01-04T12:00:00Z"])
async def test_the_time_in_a_cursor_is_read_as_utc(alice: Client, contract: Contract, time: str) -> None:
    """Whatever its offset: PostgreSQL refuses those above 16 hours, and would refuse the whole batch with it."""
    cursor = forged([time, 1], Sort.UPDATED)
    value = cursors.read(cursor, Selection(sort=Sort.UPDATED)).value
    assert isinstance(value, datetime)
    assert (value, value.utcoffset()) == (datetime.fromisoformat(time), timedelta(0))
    assert (await alice.get(contract.alice_path, params={"sort": "updated", "cursor": cursor})).status_code == 200


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
async def test_a_time_that_utc_cannot_express_is_an_invalid_cursor(
    alice: Client, contract: Contract, time: str
) -> None:
    parameters = {"sort": "updated", "cursor": forged([time, 1], Sort.UPDATED)}
    response = await alice.get(contract.alice_path, params=parameters)
    assert invalid_fields(response, contract) == ["cursor"]
