"""Behaviour that both contracts share."""

import re
from datetime import datetime
from typing import Any

import httpx2
import pytest

from tests.http.conftest import Contract, assert_problem, invalid_fields

Client = httpx2.AsyncClient
JSON = {"Content-Type": "application/json"}


async def create_task(alice: Client, contract: Contract, **fields: object) -> dict[str, Any]:
    response = await alice.post(contract.alice_path, json={"title": "Buy milk", **fields})
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


# The task


async def test_a_task_has_eight_fields(alice: Client, contract: Contract) -> None:
    task = await create_task(alice, contract)
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
    task = await create_task(alice, contract)
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
async def test_completed_and_status_are_equivalent(
    alice: Client, contract: Contract, sent: dict[str, object], completed: bool
) -> None:
    task = await create_task(alice, contract, **sent)
    assert (task["completed"], task["status"]) == (completed, "complete" if completed else "incomplete")
    edited = await alice.patch(f"{contract.alice_path}/{task['id']}", json=sent)
    assert edited.json()["completed"] is completed


@pytest.mark.parametrize(
    "sent", [{"completed": True, "status": "incomplete"}, {"completed": False, "status": "complete"}]
)
async def test_contradictory_completed_and_status_are_invalid_in_a_new_task(
    alice: Client, contract: Contract, sent: dict[str, object]
) -> None:
    assert invalid_fields(await alice.post(contract.alice_path, json={"title": "x", **sent}), contract) == ["status"]


@pytest.mark.parametrize("completed", [True, False])
@pytest.mark.parametrize(("method", "path"), [("PUT", ""), ("PATCH", ""), ("PATCH", "/complete")])
@pytest.mark.parametrize("view", ["completed", "status"])
async def test_a_task_that_is_sent_back_with_one_view_of_completed_changed_takes_that_one(
    alice: Client, contract: Contract, completed: bool, method: str, path: str, view: str
) -> None:
    task = await create_task(alice, contract, completed=completed)
    other = {"completed": not completed, "status": "incomplete" if completed else "complete"}
    url = f"{contract.alice_path}/{task['id']}"
    changed = (await alice.request(method, url + path, json={**task, view: other[view]})).json()
    assert changed == {**task, **other, "updated_at": changed["updated_at"]}
    assert (await alice.get(url)).json() == changed


# Lists and filters


async def test_a_list_is_a_bare_array_of_all_tasks_in_order_of_creation(alice: Client, contract: Contract) -> None:
    assert (await alice.get(contract.alice_path)).json() == []
    tasks = [await create_task(alice, contract, title=title) for title in "zam"]
    assert (await alice.get(contract.alice_path)).json() == tasks


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
        ("completed=&status=pending", ["open"]),
        ("completed=true&status=", ["done"]),
        ("_t=123&sort=&priority=high&completed=&status=", ["done", "open"]),
    ],
)
async def test_a_list_can_be_filtered(alice: Client, contract: Contract, query: str, expected: list[str]) -> None:
    await create_task(alice, contract, title="done", completed=True)
    await create_task(alice, contract, title="open")
    response = await alice.get(f"{contract.alice_path}?{query}")
    assert [task["title"] for task in response.json()] == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("completed=yes", "completed"),
        ("completed=1", "completed"),
        ("status=done", "status"),
        ("status=complete%00", "status"),
        ("completed=true&status=pending", "status"),
    ],
)
async def test_an_invalid_filter_is_named(alice: Client, contract: Contract, query: str, field: str) -> None:
    assert invalid_fields(await alice.get(f"{contract.alice_path}?{query}"), contract) == [field]


# Creating


async def test_creating_a_task_is_201_with_its_location(alice: Client, contract: Contract) -> None:
    response = await alice.post(contract.alice_path, json={"title": "Buy milk", "description": "Two litres"})
    assert response.status_code == 201
    assert response.headers["location"] == f"{contract.alice_path}/{response.json()['id']}"
    assert (await alice.get(response.headers["location"])).json() == response.json()


async def test_unknown_members_are_ignored(alice: Client, contract: Contract) -> None:
    task = await create_task(
        alice, contract, priority="high", id=999, user_id="bob", created_at="1999-01-01T00:00:00Z", tags=[]
    )
    assert task["user_id"] == "alice"
    assert task["id"] != 999
    assert not task["created_at"].startswith("1999")


async def test_whitespace_around_a_title_is_stripped(alice: Client, contract: Contract) -> None:
    assert (await create_task(alice, contract, title="  Buy milk\n"))["title"] == "Buy milk"


async def test_the_longest_title_and_description_are_accepted_and_longer_ones_are_invalid(
    alice: Client, contract: Contract
) -> None:
    title, description = "😀" * contract.longest_title, "😀" * contract.longest_description
    task = await create_task(alice, contract, title=title, description=description)
    assert (task["title"], task["description"]) == (title, description)
    sent = {"title": title + "x", "description": description + "x"}
    assert sorted(invalid_fields(await alice.post(contract.alice_path, json=sent), contract)) == [
        "description",
        "title",
    ]
    path = f"{contract.alice_path}/{task['id']}"
    response = await alice.put(path, json={"title": title + "x"})
    assert invalid_fields(response, contract) == ["title"]
    assert response.json()["errors"][0]["message"] == f"must have 1 to {contract.longest_title} characters"


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
async def test_every_invalid_field_of_a_body_is_named(
    alice: Client, contract: Contract, sent: object, fields: list[str]
) -> None:
    assert sorted(invalid_fields(await alice.post(contract.alice_path, json=sent), contract)) == fields
    assert (await alice.get(contract.alice_path)).json() == []


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
    response = await alice.post(contract.alice_path, content=body, headers=JSON)
    assert invalid_fields(response, contract)


async def test_an_error_never_echoes_the_input(alice: Client, contract: Contract) -> None:
    for content in (b'{"title": "s3cret\\u0000"}', b'{"title": {"s3cret": 1}}', b'{"status": "s3cret"}', b"s3cret"):
        response = await alice.post(contract.alice_path, content=content, headers=JSON)
        assert invalid_fields(response, contract)
        assert "s3cret" not in response.text


# Changing


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_edit_changes_the_sent_fields_only(alice: Client, contract: Contract, method: str) -> None:
    task = await create_task(alice, contract, description="Two litres")
    path = f"{contract.alice_path}/{task['id']}"
    response = await alice.request(method, path, json={"title": "Buy tea", "unknown": 1})
    assert response.status_code == 200
    edited = response.json()
    assert edited["updated_at"] > task["updated_at"]
    assert edited == {**task, "title": "Buy tea", "updated_at": edited["updated_at"]}
    assert (await alice.get(path)).json() == edited


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_edit_without_effect_is_200_and_keeps_the_version(
    alice: Client, contract: Contract, method: str
) -> None:
    task = await create_task(alice, contract)
    for sent in ({}, {"title": task["title"]}, {"title": f" {task['title']} ", "completed": False}):
        response = await alice.request(method, f"{contract.alice_path}/{task['id']}", json=sent)
        assert (response.status_code, response.json()) == (200, task)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_null_clears_the_description_and_is_invalid_in_other_fields(
    alice: Client, contract: Contract, method: str
) -> None:
    task = await create_task(alice, contract, description="Two litres")
    path = f"{contract.alice_path}/{task['id']}"
    assert (await alice.request(method, path, json={"description": None})).json()["description"] is None
    for field in ("title", "completed", "status"):
        assert invalid_fields(await alice.request(method, path, json={field: None}), contract) == [field]


async def test_an_empty_description_is_not_null(alice: Client, contract: Contract) -> None:
    assert (await create_task(alice, contract, description=""))["description"] == ""


@pytest.mark.parametrize("sent", [{"completed": True}, {"status": "complete"}])
async def test_complete_with_a_body_sets_the_flag_and_is_idempotent(
    alice: Client, contract: Contract, sent: dict[str, object]
) -> None:
    task = await create_task(alice, contract)
    path = f"{contract.alice_path}/{task['id']}/complete"
    first, second = await alice.patch(path, json=sent), await alice.patch(path, json=sent)
    assert first.json()["completed"] is True
    assert first.json() == second.json()
    opposite: dict[str, object] = {"completed": False}
    assert [(await alice.patch(path, json=opposite)).json()["completed"] for _ in range(2)] == [False, False]


@pytest.mark.parametrize("sent", [{"completed": "yes"}, {"status": "done"}, {"completed": None}, [], 1, "null"])
async def test_complete_with_an_invalid_body_is_invalid(alice: Client, contract: Contract, sent: object) -> None:
    task = await create_task(alice, contract)
    assert invalid_fields(await alice.patch(f"{contract.alice_path}/{task['id']}/complete", json=sent), contract)
    assert (await alice.get(f"{contract.alice_path}/{task['id']}")).json() == task


# Deleting


async def test_delete_is_204_without_a_body_and_404_the_second_time(alice: Client, contract: Contract) -> None:
    task = await create_task(alice, contract)
    path = f"{contract.alice_path}/{task['id']}"
    response = await alice.delete(path)
    assert (response.status_code, response.content) == (204, b"")
    assert "content-type" not in response.headers
    assert_problem(await alice.delete(path), 404, "task_not_found")
    assert_problem(await alice.get(path), 404, "task_not_found")


# IDs


@pytest.mark.parametrize(
    "task_id",
    [
        *("0", "-1", "9007199254740992", "9223372036854775808", "9" * 400),
        *("1e3", "0x10", "%201", "1%20", "01", "1.0", "+1", "1_0", "abc", "null"),
        *("%D9%A1", "1%00", "%00", "%F0%9F%98%80"),
    ],
)
async def test_a_malformed_id_is_invalid(alice: Client, contract: Contract, task_id: str) -> None:
    path = f"{contract.alice_path}/{task_id}"
    for response in (
        await alice.get(path),
        await alice.put(path, json={}),
        await alice.patch(path, json={}),
        await alice.patch(f"{path}/complete"),
        await alice.delete(path),
    ):
        assert invalid_fields(response, contract) == ["id"]


@pytest.mark.parametrize("task_id", ["1", "2147483648", "9007199254740991"])
async def test_an_unknown_id_is_404(alice: Client, contract: Contract, task_id: str) -> None:
    path = f"{contract.alice_path}/{task_id}"
    for response in (
        await alice.get(path),
        await alice.put(path, json={}),
        await alice.patch(path, json={}),
        await alice.patch(f"{path}/complete"),
        await alice.delete(path),
    ):
        assert assert_problem(response, 404, "task_not_found")["detail"] == "Task not found"


async def test_a_missing_task_and_another_user_s_have_identical_responses(
    alice: Client, bob: Client, contract: Contract
) -> None:
    task = await create_task(alice, contract)
    theirs, missing = f"{contract.bob_path}/{task['id']}", f"{contract.bob_path}/{task['id'] + 1}"
    headers = {"X-Request-ID": "same"}
    for method, body in (("GET", None), ("PUT", {"title": "x"}), ("PATCH", {"title": "x"}), ("DELETE", None)):
        foreign = await bob.request(method, theirs, json=body, headers=headers)
        absent = await bob.request(method, missing, json=body, headers=headers)
        assert (foreign.status_code, foreign.content, foreign.headers) == (404, absent.content, absent.headers)
    foreign, absent = (
        await bob.patch(f"{theirs}/complete", headers=headers),
        await bob.patch(f"{missing}/complete", headers=headers),
    )
    assert (foreign.status_code, foreign.content, foreign.headers) == (404, absent.content, absent.headers)
    assert (await alice.get(f"{contract.alice_path}/{task['id']}")).json() == task
