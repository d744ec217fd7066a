"""The OpenAPI document, and the page that shows it."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import TypeAdapter

from entrypoints.http.app import create
from entrypoints.http.representation import TaskBody
from tests.http.conftest import bearer, container

DOCUMENT = create(container()).openapi()
OPERATIONS = [
    (path, method, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]
OF_TASKS = [(path, method, operation) for path, method, operation in OPERATIONS if path.startswith("/api/")]


def named(operations: list[tuple[str, str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("path", "method", "operation"), operations, ids=[operation["operationId"] for _, _, operation in operations]
    )


def test_operation_ids_are_stable() -> None:
    of_tasks = {"create_task", "list_tasks", "get_task", "put_task", "patch_task", "complete_task", "delete_task"}
    of_users = {name.replace("task", "user_task") for name in of_tasks}
    assert {operation["operationId"] for _, _, operation in OPERATIONS} == {*of_tasks, *of_users, "alive", "ready"}


@named(OF_TASKS)
def test_every_operation_on_tasks_wants_the_bearer_token(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation["security"] == [{"bearer": []}]
    assert DOCUMENT["components"]["securitySchemes"]["bearer"]["bearerFormat"] == "JWT"


@named(OF_TASKS)
def test_every_error_is_documented_with_one_schema(path: str, method: str, operation: dict[str, Any]) -> None:
    statuses = {int(status) for status in operation["responses"]}
    assert {401, 500, 503} <= statuses
    first_contract = path.startswith("/api/tasks")
    assert (403 in statuses) is not first_contract
    assert (404 in statuses) is ("{id}" in path)
    assert ({408, 413, 415} <= statuses) is ("requestBody" in operation)
    assert (422 if first_contract else 400) in statuses
    assert (400 if first_contract else 422) not in statuses
    for status in statuses:
        if status >= 400:
            for content in operation["responses"][str(status)]["content"].values():
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}


@named(OPERATIONS)
def test_every_operation_is_explained(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["tags"]


def test_every_schema_that_is_named_is_there_and_used() -> None:
    text = json.dumps(DOCUMENT)
    for name in DOCUMENT["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text
    assert "HTTPValidationError" not in text


def test_limits_are_those_of_each_contract() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["NewTask"]["properties"]["title"]["maxLength"] == 200
    assert schemas["NewUserTask"]["properties"]["title"]["maxLength"] == 255
    assert schemas["NewTask"]["required"] == ["title"]
    assert "required" not in schemas["TaskChanges"]


def test_every_code_is_described() -> None:
    described = DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert {"task_not_found", "not_found", "expired_token", "storage_unavailable", "internal_error"} <= {*described}
    assert len(described) == len({*described}) > 14


def test_the_typescript_client_is_made_from_this_description() -> None:
    committed = Path(__file__).parents[2] / "clients/typescript/openapi.json"
    assert json.loads(committed.read_text()) == DOCUMENT, "renew it with `make client`"


def test_tasks_and_inputs_have_examples() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name in ("TaskBody", "NewTask", "TaskChanges", "NewUserTask", "UserTaskChanges", "Completion", "Problem"):
        for field, schema in schemas[name]["properties"].items():
            assert "examples" in schema or schema["type"] == "array", (name, field)


@named(OF_TASKS)
async def test_an_answer_is_exactly_what_is_documented(
    alice: httpx2.AsyncClient, path: str, method: str, operation: dict[str, Any]
) -> None:
    """Answers are rendered without the models that describe them; this holds the two together."""
    task = (await alice.post("/api/tasks", json={"title": "Buy milk", "description": "Two litres"})).json()
    address = path.replace("{user_id}", "alice").replace("{id}", str(task["id"]))
    body = {"title": "Buy bread"} if method in ("post", "put") else {"completed": True} if method == "patch" else None
    answer = await alice.request(method, address, json=body)
    [(status, documented)] = [(int(status), said) for status, said in operation["responses"].items() if status < "300"]
    assert answer.status_code == status
    if "content" not in documented:
        assert answer.content == b""
        return
    one = {"$ref": "#/components/schemas/TaskBody"}
    several = documented["content"]["application/json"]["schema"].get("items") == one
    assert several or documented["content"]["application/json"]["schema"] == one
    tasks = TypeAdapter(list[TaskBody] if several else TaskBody).validate_json(answer.content, strict=True)
    schema = DOCUMENT["components"]["schemas"]["TaskBody"]
    for sent in answer.json() if several else [answer.json()]:
        assert list(sent) == list(schema["properties"]) == schema["required"]
        assert datetime.fromisoformat(sent["updated_at"]) >= datetime.fromisoformat(sent["created_at"])
    assert tasks


async def test_every_documented_operation_is_served(anybody: httpx2.AsyncClient) -> None:
    for path, method, _ in OF_TASKS:
        address = path.replace("{user_id}", "alice").replace("{id}", "1")
        answer = await anybody.request(method, address, headers=bearer("alice"))
        assert answer.status_code not in (405, 500)
        assert answer.json().get("code") != "not_found" if isinstance(answer.json(), dict) else True


async def test_the_documentation_needs_no_other_host(anybody: httpx2.AsyncClient) -> None:
    page = await anybody.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "http" not in page.text
    assert "<script>" not in page.text
    for part in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon.png"):
        assert f'"docs/{part}"' in page.text
        answer = await anybody.get(f"/docs/{part}")
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.content) > 50
    assert (await anybody.get("/openapi.json")).json() == DOCUMENT
