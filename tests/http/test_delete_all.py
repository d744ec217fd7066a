"""DELETE on the list: with `all=true`, in both contracts."""

from typing import Any

import httpx2
import pytest
from dependency_injector.providers import Object

from adapters.in_memory import InMemoryTaskRepository
from domain.errors import StorageUnavailable
from domain.values import TaskId, UserId
from entrypoints.container import Container
from tests.http.conftest import Contract, assert_problem, bearer, client, invalid_fields

Client = httpx2.AsyncClient


async def create_tasks(client: Client, path: str, number: int) -> list[dict[str, Any]]:
    return [(await client.post(path, json={"title": f"{n}"})).json() for n in range(number)]


async def test_all_tasks_of_the_caller_are_deleted_and_counted(alice: Client, bob: Client, contract: Contract) -> None:
    await create_tasks(alice, contract.alice_path, 450)
    theirs = await create_tasks(bob, contract.bob_path, 2)
    response = await alice.delete(f"{contract.alice_path}?all=true")
    assert (response.status_code, response.json()) == (200, {"count": 450})
    assert (await alice.get(contract.alice_path)).json() == []
    assert (await bob.get(contract.bob_path)).json() == theirs
    assert (await alice.delete(f"{contract.alice_path}?all=true")).json() == {"count": 0}


@pytest.mark.parametrize(
    "query", ["", "?all=", "?all=false", "?all=1", "?all=TRUE", "?all=true&all=false", "?completed=true"]
)
async def test_without_the_confirmation_there_is_no_such_method(alice: Client, contract: Contract, query: str) -> None:
    tasks = await create_tasks(alice, contract.alice_path, 1)
    response = await alice.delete(contract.alice_path + query)
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD, POST"
    assert (await alice.get(contract.alice_path)).json() == tasks


async def test_the_tasks_of_another_user_cannot_be_deleted(alice: Client, bob: Client, anonymous: Client) -> None:
    tasks = await create_tasks(alice, "/api/tasks", 2)
    assert_problem(await bob.delete("/api/alice/tasks?all=true"), 403, "not_yours")
    assert_problem(await bob.delete("/api/alice/tasks"), 405, "method_not_allowed")
    assert_problem(await anonymous.delete("/api/alice/tasks?all=true"), 401, "missing_token")
    assert (await alice.get("/api/tasks")).json() == tasks


async def test_a_list_is_deleted_only_in_the_state_that_if_match_names(alice: Client, contract: Contract) -> None:
    path = contract.alice_path
    tasks = await create_tasks(alice, path, 3)
    tag = (await alice.get(path)).headers["etag"]
    await alice.patch(f"{path}/{tasks[1]['id']}", json={"title": "changed"})
    for stale in (tag, f'"0", {tag}', f"W/{tag}", '"0"', '""', f'"0",W/{tag}'):
        response = await alice.delete(f"{path}?all=true", headers={"If-Match": stale})
        assert_problem(response, 412, "list_changed")
    listed = await alice.get(path)
    assert len(listed.json()) == 3
    page = (await alice.get(f"{path}?limit=2")).headers["etag"]
    assert (await alice.delete(f"{path}?all=true", headers={"If-Match": page})).status_code == 412
    response = await alice.delete(f"{path}?all=true", headers={"If-Match": f'W/"0",{listed.headers["etag"]}'})
    assert (response.status_code, response.json()) == (200, {"count": 3})
    empty = (await alice.get(path)).headers["etag"]
    assert (await alice.delete(f"{path}?all=true", headers={"If-Match": empty})).json() == {"count": 0}


async def test_any_state_matches_a_star_and_a_malformed_tag_is_invalid(alice: Client, contract: Contract) -> None:
    await create_tasks(alice, contract.alice_path, 1)
    url = f"{contract.alice_path}?all=true"
    assert invalid_fields(await alice.delete(url, headers={"If-Match": "x"}), contract) == ["If-Match"]
    assert (await alice.delete(url, headers={"If-Match": "*"})).json() == {"count": 1}


async def test_a_list_without_an_etag_matches_none(alice: Client, contract: Contract) -> None:
    await create_tasks(alice, contract.alice_path, 201)
    assert "etag" not in (await alice.get(contract.alice_path)).headers
    first = (await alice.get(f"{contract.alice_path}?limit=200")).headers["etag"]
    response = await alice.delete(f"{contract.alice_path}?all=true", headers={"If-Match": first})
    assert_problem(response, 412, "list_changed")


class FailingTaskRepository(InMemoryTaskRepository):
    """Becomes unavailable after one chunk of a removal, once."""

    remaining = 1

    async def remove_oldest(self, owner: UserId, *, up_to: TaskId, limit: int) -> int:
        self.remaining -= 1
        if self.remaining == -1:
            raise StorageUnavailable
        return await super().remove_oldest(owner, up_to=up_to, limit=limit)


async def test_a_deletion_that_breaks_off_may_be_repeated(wiring: Container, contract: Contract) -> None:
    wiring.tasks.override(Object(FailingTaskRepository()))
    async with client(wiring, **bearer("alice")) as alice:
        await create_tasks(alice, contract.alice_path, 250)
        response = await alice.delete(f"{contract.alice_path}?all=true")
        assert_problem(response, contract.unavailable, "storage_unavailable")
        assert len((await alice.get(contract.alice_path)).json()) == 50
        assert (await alice.delete(f"{contract.alice_path}?all=true")).json() == {"count": 50}
