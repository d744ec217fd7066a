"""The OpenAPI document and the documentation page."""

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
TASK_OPERATIONS = [(path, method, operation) for path, method, operation in OPERATIONS if path.startswith("/api/")]


def each_of(operations: list[tuple[str, str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("path", "method", "operation"), operations, ids=[operation["operationId"] for _, _, operation in operations]
    )


def test_operation_ids_are_stable() -> None:
    first_contract = {"create_task", "list_tasks", "get_task", "put_task", "patch_task", "complete_task", "delete_task"}
    first_contract |= {"delete_tasks"}
    second_contract = {name.replace("task", "user_task") for name in first_contract}
    assert {operation["operationId"] for _, _, operation in OPERATIONS} == {
        *first_contract,
        *second_contract,
        "alive",
        "ready",
    }


@each_of(TASK_OPERATIONS)
def test_every_operation_on_tasks_requires_a_bearer_token(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation["security"] == [{"bearer": []}]
    assert DOCUMENT["components"]["securitySchemes"]["bearer"]["bearerFormat"] == "JWT"


@each_of(TASK_OPERATIONS)
def test_every_error_is_documented_with_the_problem_schema(path: str, method: str, operation: dict[str, Any]) -> None:
    statuses = {int(status) for status in operation["responses"]}
    assert {401, 429, 500, 503} <= statuses
    first_contract = path.startswith("/api/tasks")
    assert (403 in statuses) is (not first_contract or method == "post")  # another's path, or beyond the quota
    assert (404 in statuses) is ("{id}" in path)
    assert ({408, 413, 415} <= statuses) is ("requestBody" in operation)
    assert (422 if first_contract else 400) in statuses
    assert (400 if first_contract else 422) not in statuses
    for status in statuses:
        if status >= 400:
            for content in operation["responses"][str(status)]["content"].values():
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}


@each_of(OPERATIONS)
def test_every_operation_has_a_summary_and_a_tag(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["tags"]


def test_every_schema_is_referenced() -> None:
    text = json.dumps(DOCUMENT)
    for name in DOCUMENT["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text
    assert "HTTPValidationError" not in text


def test_schemas_state_the_limits_of_their_contract() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["NewTask"]["properties"]["title"]["maxLength"] == 200
    assert schemas["NewUserTask"]["properties"]["title"]["maxLength"] == 255
    assert schemas["NewTask"]["required"] == ["title"]
    assert "required" not in schemas["TaskChanges"]


def test_error_codes_are_documented() -> None:
    documented = DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert {"task_not_found", "not_found", "expired_token", "storage_unavailable", "internal_error"} <= {*documented}
    assert len(documented) == len({*documented}) > 14


def test_the_openapi_document_of_the_typescript_client_is_current() -> None:
    committed = Path(__file__).parents[2] / "clients/typescript/openapi.json"
    assert json.loads(committed.read_text()) == DOCUMENT, "outdated: run `make client`"


def test_tasks_and_inputs_have_examples() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name in ("TaskBody", "NewTask", "TaskChanges", "NewUserTask", "UserTaskChanges", "Completion", "Problem"):
        for field, schema in schemas[name]["properties"].items():
            assert "examples" in schema or schema["type"] == "array", (name, field)


@each_of(TASK_OPERATIONS)
async def test_a_response_matches_its_documented_schema_exactly(
    alice: httpx2.AsyncClient, path: str, method: str, operation: dict[str, Any]
) -> None:
    """Responses are rendered without the documented models, so nothing else keeps the two consistent."""
    task = (await alice.post("/api/tasks", json={"title": "Buy milk", "description": "Two litres"})).json()
    url = path.replace("{user_id}", "alice").replace("{id}", str(task["id"]))
    body = {"title": "Buy bread"} if method in ("post", "put") else {"completed": True} if method == "patch" else None
    confirmed = {"all": "true"} if (method, "{id}" in path) == ("delete", False) else {}
    response = await alice.request(method, url, json=body, params=confirmed)
    [(status, documented)] = [
        (int(status), response) for status, response in operation["responses"].items() if status < "300"
    ]
    assert response.status_code == status
    if "content" not in documented:
        assert response.content == b""
        return
    if confirmed:
        assert response.json() == {"count": 1}
        return
    one = {"$ref": "#/components/schemas/TaskBody"}
    several = documented["content"]["application/json"]["schema"].get("items") == one
    assert several or documented["content"]["application/json"]["schema"] == one
    tasks = TypeAdapter(list[TaskBody] if several else TaskBody).validate_json(response.content, strict=True)
    schema = DOCUMENT["components"]["schemas"]["TaskBody"]
    for sent in response.json() if several else [response.json()]:
        assert list(sent) == list(schema["properties"]) == schema["required"]
        assert datetime.fromisoformat(sent["updated_at"]) >= datetime.fromisoformat(sent["created_at"])
    assert tasks


async def test_every_documented_operation_is_served(anonymous: httpx2.AsyncClient) -> None:
    for path, method, _ in TASK_OPERATIONS:
        url = path.replace("{user_id}", "alice").replace("{id}", "1")
        response = await anonymous.request(method, url, headers=bearer("alice"), params={"all": "true"})
        assert response.status_code not in (405, 500)
        assert response.json().get("code") != "not_found" if isinstance(response.json(), dict) else True


async def test_the_documentation_page_loads_nothing_from_other_hosts(anonymous: httpx2.AsyncClient) -> None:
    page = await anonymous.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "http" not in page.text
    assert "<script>" not in page.text
    for part in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon.png"):
        assert f'"docs/{part}"' in page.text
        response = await anonymous.get(f"/docs/{part}")
        assert response.status_code == 200
        assert response.headers["x-content-type-options"] == "nosniff"
        assert len(response.content) > 50
    assert (await anonymous.get("/openapi.json")).json() == DOCUMENT


def test_a_reused_idempotency_key_is_documented_where_a_key_is_accepted_and_nowhere_else() -> None:
    documented = {
        (path, method)
        for path, method, operation in OPERATIONS
        if "idempotency_key_reused" in json.dumps(operation["responses"])
    }
    assert documented == {("/api/tasks", "post"), ("/api/{user_id}/tasks", "post")}
