"""What both contracts say, line by line."""

import re
from datetime import datetime
from typing import Any

import httpx2
import pytest

from tests.http.conftest import Contract, faults, is_problem

Client = httpx2.AsyncClient
JSON = {"Content-Type": "application/json"}


async def made(alice: Client, contract: Contract, **fields: object) -> dict[str, Any]:
    answer = await alice.post(contract.of_alice, json={"title": "Buy milk", **fields})
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    return task


# The task


async def test_a_task_has_eight_fields(alice: Client, contract: Contract) -> None:
    task = await made(alice, contract)
    assert list(task) == [
        "id",
        "user_id",
        "title",
        "description",
        "completed",
        "status",
        "created_at",
        "updated_at",
    ]
    assert isinstance(task["id"], int)
    assert (task["user_id"], task["title"], task["description"]) == ("alice", "Buy milk", None)
    assert (task["completed"], task["status"]) == (False, "incomplete")


async def test_times_are_utc_with_z(alice: Client, contract: Contract) -> None:
    task = await made(alice, contract)
    for time in (task["created_at"], task["updated_at"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", time)
        assert datetime.fromisoformat(time).utcoffset() is not None


@pytest.mark.parametrize(
    ("sent", "completed"),
    [
        ({"completed": True}, True),
        ({"completed": False}, False),
        ({"status": "complete"}, True),
        ({"status": "incomplete"}, False),
        ({"completed": True, "status": "complete"}, True),
    ],
)
async def test_completed_and_status_say_the_same(
    alice: Client, contract: Contract, sent: dict[str, object], completed: bool
) -> None:
    task = await made(alice, contract, **sent)
    assert (task["completed"], task["status"]) == (completed, "complete" if completed else "incomplete")
    edited = await alice.patch(f"{contract.of_alice}/{task['id']}", json=sent)
    assert edited.json()["completed"] is completed


@pytest.mark.parametrize(
    "sent", [{"completed": True, "status": "incomplete"}, {"completed": False, "status": "complete"}]
)
async def test_completed_and_status_that_disagree_are_invalid(
    alice: Client, contract: Contract, sent: dict[str, object]
) -> None:
    task = await made(alice, contract)
    assert faults(await alice.post(contract.of_alice, json={"title": "x", **sent}), contract) == ["status"]
    assert faults(await alice.put(f"{contract.of_alice}/{task['id']}", json=sent), contract) == ["status"]
    assert faults(await alice.patch(f"{contract.of_alice}/{task['id']}/complete", json=sent), contract) == ["status"]


# Lists and filters


async def test_a_list_is_a_bare_array_of_all_tasks_in_order_of_creation(alice: Client, contract: Contract) -> None:
    assert (await alice.get(contract.of_alice)).json() == []
    tasks = [await made(alice, contract, title=title) for title in "zam"]
    assert (await alice.get(contract.of_alice)).json() == tasks


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("completed=true", ["done"]),
        ("completed=false", ["open"]),
        ("status=all", ["done", "open"]),
        ("status=pending", ["open"]),
        ("status=active", ["open"]),
        ("status=incomplete", ["open"]),
        ("status=complete", ["done"]),
        ("status=completed", ["done"]),
        ("status=COMPLETED", ["done"]),
        ("status=Pending", ["open"]),
        ("completed=true&status=all", ["done"]),
        ("completed=true&status=complete", ["done"]),
        ("_t=123&sort=&priority=high", ["done", "open"]),
    ],
)
async def test_a_list_can_be_filtered(alice: Client, contract: Contract, query: str, expected: list[str]) -> None:
    await made(alice, contract, title="done", completed=True)
    await made(alice, contract, title="open")
    answer = await alice.get(f"{contract.of_alice}?{query}")
    assert [task["title"] for task in answer.json()] == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("completed=yes", "completed"),
        ("completed=1", "completed"),
        ("completed=", "completed"),
        ("status=done", "status"),
        ("status=", "status"),
        ("status=complete%00", "status"),
        ("completed=true&status=pending", "status"),
    ],
)
async def test_a_wrong_filter_is_invalid(alice: Client, contract: Contract, query: str, field: str) -> None:
    assert faults(await alice.get(f"{contract.of_alice}?{query}"), contract) == [field]


# Creating


async def test_a_created_task_is_201_with_its_address(alice: Client, contract: Contract) -> None:
    answer = await alice.post(contract.of_alice, json={"title": "Buy milk", "description": "Two litres"})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{contract.of_alice}/{answer.json()['id']}"
    assert (await alice.get(answer.headers["location"])).json() == answer.json()


async def test_members_that_are_not_known_are_ignored(alice: Client, contract: Contract) -> None:
    task = await made(
        alice, contract, priority="high", id=999, user_id="bob", created_at="1999-01-01T00:00:00Z", tags=[]
    )
    assert task["user_id"] == "alice"
    assert task["id"] != 999
    assert not task["created_at"].startswith("1999")


async def test_blanks_around_a_title_are_dropped(alice: Client, contract: Contract) -> None:
    assert (await made(alice, contract, title="  Buy milk\n"))["title"] == "Buy milk"


async def test_the_longest_title_and_description_fit_and_one_more_character_does_not(
    alice: Client, contract: Contract
) -> None:
    title, description = "😀" * contract.longest_title, "😀" * contract.longest_description
    task = await made(alice, contract, title=title, description=description)
    assert (task["title"], task["description"]) == (title, description)
    sent = {"title": title + "x", "description": description + "x"}
    assert sorted(faults(await alice.post(contract.of_alice, json=sent), contract)) == ["description", "title"]
    address = f"{contract.of_alice}/{task['id']}"
    answer = await alice.put(address, json={"title": title + "x"})
    assert faults(answer, contract) == ["title"]
    assert answer.json()["errors"][0]["message"] == f"must have 1 to {contract.longest_title} characters"


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({}, ["title"]),
        ({"title": ""}, ["title"]),
        ({"title": "  "}, ["title"]),
        ({"title": None}, ["title"]),
        ({"title": 5}, ["title"]),
        ({"title": ["x"]}, ["title"]),
        ({"title": "a\0b"}, ["title"]),
        ({"title": "x", "description": 5}, ["description"]),
        ({"title": "x", "description": "\0"}, ["description"]),
        ({"title": "x", "completed": "yes"}, ["completed"]),
        ({"title": "x", "completed": 1}, ["completed"]),
        ({"title": "x", "completed": None}, ["completed"]),
        ({"title": "x", "status": "done"}, ["status"]),
        ({"title": "x", "status": None}, ["status"]),
        ({"completed": "yes", "description": 5}, ["completed", "description", "title"]),
        ([], ["body"]),
        ("title", ["body"]),
        (None, ["body"]),
    ],
)
async def test_every_fault_of_a_body_is_named(
    alice: Client, contract: Contract, sent: object, fields: list[str]
) -> None:
    assert sorted(faults(await alice.post(contract.of_alice, json=sent), contract)) == fields
    assert (await alice.get(contract.of_alice)).json() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"title": "\\ud800"}',
        b'{"title": NaN}',
        b'{"title": 1' + b"0" * 400 + b"}",
        b"[" * 60_000,
        '{"title": "x"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"title": "x"}',
        b'{"title": "x"',
    ],
    ids=lambda body: repr(body[:16]),
)
async def test_a_malformed_body_is_invalid(alice: Client, contract: Contract, body: bytes) -> None:
    answer = await alice.post(contract.of_alice, content=body, headers=JSON)
    assert faults(answer, contract)


async def test_an_error_never_repeats_what_was_sent(alice: Client, contract: Contract) -> None:
    for content in (b'{"title": "s3cret\\u0000"}', b'{"title": {"s3cret": 1}}', b'{"status": "s3cret"}', b"s3cret"):
        answer = await alice.post(contract.of_alice, content=content, headers=JSON)
        assert faults(answer, contract)
        assert "s3cret" not in answer.text


# Changing


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_edit_changes_what_is_sent_and_leaves_the_rest(alice: Client, contract: Contract, method: str) -> None:
    task = await made(alice, contract, description="Two litres")
    address = f"{contract.of_alice}/{task['id']}"
    answer = await alice.request(method, address, json={"title": "Buy tea", "unknown": 1})
    assert answer.status_code == 200
    edited = answer.json()
    assert edited["updated_at"] > task["updated_at"]
    assert edited == {**task, "title": "Buy tea", "updated_at": edited["updated_at"]}
    assert (await alice.get(address)).json() == edited


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_edit_that_changes_nothing_is_200_and_changes_nothing(
    alice: Client, contract: Contract, method: str
) -> None:
    task = await made(alice, contract)
    for sent in ({}, {"title": task["title"]}, {"title": f" {task['title']} ", "completed": False}):
        answer = await alice.request(method, f"{contract.of_alice}/{task['id']}", json=sent)
        assert (answer.status_code, answer.json()) == (200, task)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_null_clears_the_description_and_is_invalid_elsewhere(
    alice: Client, contract: Contract, method: str
) -> None:
    task = await made(alice, contract, description="Two litres")
    address = f"{contract.of_alice}/{task['id']}"
    assert (await alice.request(method, address, json={"description": None})).json()["description"] is None
    for field in ("title", "completed", "status"):
        assert faults(await alice.request(method, address, json={field: None}), contract) == [field]


async def test_an_empty_description_is_not_null(alice: Client, contract: Contract) -> None:
    assert (await made(alice, contract, description=""))["description"] == ""


@pytest.mark.parametrize("sent", [{"completed": True}, {"status": "complete"}])
async def test_complete_with_a_body_sets_the_flag_and_may_be_repeated(
    alice: Client, contract: Contract, sent: dict[str, object]
) -> None:
    task = await made(alice, contract)
    address = f"{contract.of_alice}/{task['id']}/complete"
    first, second = await alice.patch(address, json=sent), await alice.patch(address, json=sent)
    assert first.json()["completed"] is True
    assert first.json() == second.json()
    opposite: dict[str, object] = {"completed": False}
    assert [(await alice.patch(address, json=opposite)).json()["completed"] for _ in range(2)] == [False, False]


@pytest.mark.parametrize("sent", [{"completed": "yes"}, {"status": "done"}, {"completed": None}, [], 1, "null"])
async def test_complete_with_a_wrong_body_is_invalid(alice: Client, contract: Contract, sent: object) -> None:
    task = await made(alice, contract)
    assert faults(await alice.patch(f"{contract.of_alice}/{task['id']}/complete", json=sent), contract)
    assert (await alice.get(f"{contract.of_alice}/{task['id']}")).json() == task


# Deleting


async def test_delete_is_204_without_a_body_and_404_the_second_time(alice: Client, contract: Contract) -> None:
    task = await made(alice, contract)
    address = f"{contract.of_alice}/{task['id']}"
    answer = await alice.delete(address)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    is_problem(await alice.delete(address), 404, "task_not_found")
    is_problem(await alice.get(address), 404, "task_not_found")


# Ids


@pytest.mark.parametrize(
    "task_id",
    [
        *("0", "-1", "9007199254740992", "9223372036854775808", "9" * 400),
        *("1e3", "0x10", "%201", "1%20", "01", "1.0", "+1", "1_0", "abc", "null"),
        *("%D9%A1", "1%00", "%00", "%F0%9F%98%80"),
    ],
)
async def test_what_is_no_id_is_invalid(alice: Client, contract: Contract, task_id: str) -> None:
    address = f"{contract.of_alice}/{task_id}"
    for answer in (
        await alice.get(address),
        await alice.put(address, json={}),
        await alice.patch(address, json={}),
        await alice.patch(f"{address}/complete"),
        await alice.delete(address),
    ):
        assert faults(answer, contract) == ["id"]


@pytest.mark.parametrize("task_id", ["1", "2147483648", "9007199254740991"])
async def test_an_id_that_no_task_has_is_404(alice: Client, contract: Contract, task_id: str) -> None:
    address = f"{contract.of_alice}/{task_id}"
    for answer in (
        await alice.get(address),
        await alice.put(address, json={}),
        await alice.patch(address, json={}),
        await alice.patch(f"{address}/complete"),
        await alice.delete(address),
    ):
        assert is_problem(answer, 404, "task_not_found")["detail"] == "Task not found"


async def test_a_missing_task_and_somebody_else_s_are_the_same_to_the_byte(
    alice: Client, bob: Client, contract: Contract
) -> None:
    task = await made(alice, contract)
    theirs, missing = f"{contract.of_bob}/{task['id']}", f"{contract.of_bob}/{task['id'] + 1}"
    named = {"X-Request-ID": "same"}
    for method, body in (("GET", None), ("PUT", {"title": "x"}), ("PATCH", {"title": "x"}), ("DELETE", None)):
        foreign = await bob.request(method, theirs, json=body, headers=named)
        absent = await bob.request(method, missing, json=body, headers=named)
        assert (foreign.status_code, foreign.content, foreign.headers) == (404, absent.content, absent.headers)
    foreign, absent = (
        await bob.patch(f"{theirs}/complete", headers=named),
        await bob.patch(f"{missing}/complete", headers=named),
    )
    assert (foreign.status_code, foreign.content, foreign.headers) == (404, absent.content, absent.headers)
    assert (await alice.get(f"{contract.of_alice}/{task['id']}")).json() == task
