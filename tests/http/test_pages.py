"""Lists by the page, in other orders, and searched."""

import base64
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import InvalidValue
from domain.listing import Position, Selection, Sort
from domain.task import Task
from domain.values import TaskId, UserId
from entrypoints.http.cursors import Cursors
from tests.http.conftest import Contract, faults
from tests.strategies import owners, selections, tasks

Client = httpx2.AsyncClient


async def filled(client: Client, contract: Contract, *titles: str) -> None:
    for title in titles:
        (await client.post(contract.of_alice, json={"title": title})).raise_for_status()


async def pages(client: Client, address: str) -> list[list[str]]:
    """The titles, page by page, by way of the links."""
    found = []
    while True:
        answer = (await client.get(address)).raise_for_status()
        found.append([task["title"] for task in answer.json()])
        if "next" not in answer.links:
            return found
        address = answer.links["next"]["url"]


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
        ("sort=&order=&limit=&cursor=&search=", ["cabde"]),
    ],
)
async def test_links_lead_through_the_whole_list(
    alice: Client, contract: Contract, query: str, expected: list[str]
) -> None:
    await filled(alice, contract, *"cabde")
    assert ["".join(page) for page in await pages(alice, f"{contract.of_alice}?{query}")] == expected


async def test_a_page_stays_stable_while_tasks_come_and_go(alice: Client, contract: Contract) -> None:
    await filled(alice, contract, *"abcdef")
    first = await alice.get(contract.of_alice, params={"limit": 2})
    for task in first.json():
        await alice.delete(f"{contract.of_alice}/{task['id']}")
    await filled(alice, contract, "g")
    assert await pages(alice, first.links["next"]["url"]) == [["c", "d"], ["e", "f"], ["g"]]


async def test_a_link_keeps_the_filter_and_goes_to_the_same_contract(alice: Client, contract: Contract) -> None:
    for title in "abc":
        await alice.post(contract.of_alice, json={"title": f"{title} ü&", "completed": True})
        await filled(alice, contract, title)
    first = await alice.get(contract.of_alice, params={"limit": 2, "status": "completed", "search": "ü&"})
    link = urlsplit(first.links["next"]["url"])
    assert link.path == contract.of_alice
    assert {("limit", "2"), ("status", "completed"), ("search", "ü&")} < set(parse_qsl(link.query))
    assert await pages(alice, first.links["next"]["url"]) == [["c ü&"]]


async def test_without_a_limit_a_cursor_means_all_the_rest(alice: Client, contract: Contract) -> None:
    await filled(alice, contract, *"abcde")
    first = await alice.get(contract.of_alice, params={"limit": 2})
    cursor = dict(parse_qsl(urlsplit(first.links["next"]["url"]).query))["cursor"]
    assert await pages(alice, f"{contract.of_alice}?{urlencode({'cursor': cursor})}") == [["c", "d", "e"]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("limit", value) for value in ["0", "201", "-1", "1.0", "x", "01", "٣", "9999999999", " 5"]),
        *(("sort", value) for value in ["id", "created,title", "desc"]),
        *(("order", value) for value in ["down", "1"]),
        *(("search", value) for value in ["x" * 256, "a\0b"]),
        *(("cursor", value) for value in ["x", "AAAA", "ü", "A" * 5000, base64.b64encode(b"x" * 40).decode()]),
    ],
)
async def test_a_wrong_parameter_is_named(alice: Client, contract: Contract, field: str, value: str) -> None:
    await filled(alice, contract, "a")
    assert faults(await alice.get(contract.of_alice, params={field: value}), contract) == [field]


async def test_a_cursor_is_good_for_its_own_list_only(alice: Client, bob: Client, contract: Contract) -> None:
    await filled(alice, contract, *"abc")
    first = await alice.get(contract.of_alice, params={"limit": 1, "status": "all"})
    cursor = dict(parse_qsl(urlsplit(first.links["next"]["url"]).query))["cursor"]
    assert (await alice.get(contract.of_alice, params={"limit": 3, "cursor": cursor})).status_code == 200
    for other in ({"completed": "false"}, {"search": "b"}, {"sort": "title"}, {"order": "desc"}):
        answer = await alice.get(contract.of_alice, params={"limit": 1, "cursor": cursor, **other})
        assert faults(answer, contract) == ["cursor"]
    assert faults(await bob.get(contract.of_bob, params={"cursor": cursor}), contract) == ["cursor"]


CURSORS = Cursors(b"a key")


@given(tasks, owners, selections)
def test_a_cursor_is_read_as_it_was_written(task: Task, owner: UserId, selection: Selection) -> None:
    place = selection.position(task)
    assert CURSORS.read(CURSORS.write(place, owner, selection), owner, selection) == place


@given(st.data())
@settings(suppress_health_check=list(HealthCheck))
def test_a_cursor_that_was_changed_or_made_by_others_is_invalid(data: st.DataObject) -> None:
    owner, selection = UserId("alice"), Selection(sort=Sort.TITLE)
    cursor = CURSORS.write(Position("a title", TaskId(7)), owner, selection)
    at = data.draw(st.integers(0, len(cursor) - 1))
    letter = data.draw(st.sampled_from("ABCXYZabcxyz0189-_=+/ \n"))
    changed = [
        cursor[:at] + letter + cursor[at + 1 :],
        cursor[:at] + letter + cursor[at:],
        cursor[:at],
        Cursors(b"another key").write(Position("a title", TaskId(7)), owner, selection),
    ]
    for other in changed:
        if other != cursor:
            with pytest.raises(InvalidValue):
                CURSORS.read(other, owner, selection)


@pytest.mark.parametrize("place", [Position("\0", TaskId(7)), (None,), ("x", 0), ("x", "7")])
@pytest.mark.parametrize("sort", [Sort.TITLE, Sort.UPDATED])
def test_a_cursor_with_a_right_seal_is_parsed_all_the_same(place: Any, sort: Sort) -> None:
    owner, selection = UserId("alice"), Selection(sort=sort)
    body = orjson.dumps([*place])
    forged = base64.urlsafe_b64encode(CURSORS._seal(body, owner, selection) + body).rstrip(b"=").decode()
    with pytest.raises(InvalidValue):
        CURSORS.read(forged, owner, selection)
