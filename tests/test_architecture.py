"""Architecture rules: imports between layers, threads, pinned packages. Each rule is checked to apply to something."""

import ast
import json
import sys
import tomllib
from collections.abc import Iterator
from inspect import iscoroutinefunction
from itertools import chain
from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from entrypoints.http.app import CONTRACTS, create
from entrypoints.http.contract import ContractRoute
from entrypoints.http.owner import _list_of, _own_list
from tests.http.conftest import container

ROOT = Path(__file__).parents[1]
DIALECT = {"dialect": "words", "dialect_list": "tasks", "dialect_delete": "200"}
LAYERS = ("domain", "application", "adapters", "entrypoints")


def files(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""


def roots(layer: str) -> set[str]:
    found = {name.partition(".")[0] for file in files(layer) for name in imports(file)}
    assert len(files(layer)) > 2, "the rule applies to nothing"
    return found


@pytest.mark.parametrize(("layer", "allowed"), [("domain", {"domain"}), ("application", {"domain", "application"})])
def test_the_core_imports_only_the_standard_library_and_itself(layer: str, allowed: set[str]) -> None:
    assert roots(layer) - set(sys.stdlib_module_names) <= allowed


def test_adapters_import_neither_entrypoints_nor_their_frameworks() -> None:
    assert not roots("adapters") & {"entrypoints", "fastapi", "starlette", "uvicorn", "typer", "dependency_injector"}
    assert {"application", "domain"} <= roots("adapters")


def test_only_adapters_import_libraries_of_external_systems() -> None:
    libraries = {"sqlalchemy", "sqlmodel", "alembic", "jwt"}
    assert libraries <= roots("adapters")
    inside = [file for layer in ("domain", "application") for file in files(layer)]
    inside += files("entrypoints/http")
    for file in inside:
        assert not {name.partition(".")[0] for name in imports(file)} & libraries, file


def test_http_reaches_adapters_only_through_the_composition_root() -> None:
    for file in files("entrypoints/http"):
        assert not [name for name in imports(file) if name.startswith("adapters")], file
    assert [name for name in imports(ROOT / "entrypoints/container.py") if name.startswith("adapters")]


def test_dependency_injector_is_imported_in_one_file() -> None:
    importing = [
        file.relative_to(ROOT).as_posix()
        for layer in LAYERS
        for file in files(layer)
        if any(name.startswith("dependency_injector") for name in imports(file))
    ]
    assert importing == ["entrypoints/container.py"]


def test_only_the_owner_module_determines_the_owner_of_a_request() -> None:
    """Routes receive a TodoList. No other module of HTTP, in whatever contract, can name an owner."""
    middleware = {f"middleware/{name}.py" for name in ("authentication", "fair_share", "request_log")}
    allowed = {"owner.py", "context.py", *middleware}
    folder = ROOT / "entrypoints/http"
    others = [file for file in files("entrypoints/http") if file.relative_to(folder).as_posix() not in allowed]
    assert len(others) > 15
    for file in others:
        names = {
            getattr(node, "id", None) or getattr(node, "attr", None) for node in ast.walk(ast.parse(file.read_text()))
        }
        assert not {"caller", "UserId", "acting_as", "owner"} & names, file


def test_every_contract_gets_its_list_from_the_owner_module() -> None:
    """Contracts are found by their files, so a third one cannot be missed."""
    contracts = [file for file in files("entrypoints/http/contracts") if file.name != "__init__.py"]
    assert {file.stem for file in contracts} == {module.__name__.rpartition(".")[2] for module in CONTRACTS}
    routes = [route for chosen in ({}, DIALECT) for route in iter_route_contexts(create(container(**chosen)).routes)]
    ours = [route for route in routes if isinstance(route.original_route, ContractRoute)]
    assert {"/api/tasks", "/api/todos/{id}/toggle", "/api/{user_id}/todos/{id}/status/"} < {
        route.path for route in ours
    }
    for route in ours:
        calls = [part.call for part in route.dependant.dependencies]
        assert {_own_list, _list_of} & {*calls}, route.path
        assert ("{user_id}" in str(route.path)) is (_list_of in calls), route.path


def test_only_the_application_knows_of_dialects() -> None:
    others = [file for layer in LAYERS for file in files(layer) if file.parent.name != "dialects"]
    knowing = [file for file in others if any(name.startswith("entrypoints.http.dialects") for name in imports(file))]
    assert [file.relative_to(ROOT).as_posix() for file in knowing] == ["entrypoints/http/app.py"]


def test_every_package_has_a_docstring() -> None:
    packages = [file for layer in (*LAYERS, "tests") for file in files(layer) if file.name == "__init__.py"]
    assert len(packages) > 8
    for package in packages:
        assert ast.get_docstring(ast.parse(package.read_text())), package


def test_no_endpoint_or_dependency_runs_in_a_thread_pool() -> None:
    """FastAPI runs endpoints and dependencies in a thread pool unless they are `async def`."""
    routes = [route for chosen in ({}, DIALECT) for route in iter_route_contexts(create(container(**chosen)).routes)]
    ours = [route for route in routes if isinstance(route.original_route, APIRoute)]
    assert len(ours) > 80
    for route in ours:
        for call in _calls(route.dependant):
            assert iscoroutinefunction(call) or iscoroutinefunction(getattr(call, "__call__", None)), call  # noqa: B004


def _calls(part: Dependant) -> Iterator[object]:
    yield part.call
    for child in part.dependencies:
        yield from _calls(child)


def test_every_dependency_is_pinned_by_hash_and_listed_in_the_decision_records() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    decisions = "".join(file.read_text() for file in (ROOT / "docs/decisions").glob("*.md"))
    extras = project["project"]["optional-dependencies"].values()
    wanted = [*project["project"]["dependencies"], *chain(*extras), *chain(*project["dependency-groups"].values())]
    names = [
        requirement.partition(">")[0].partition("=")[0].partition("[")[0]
        for requirement in wanted
        if isinstance(requirement, str)
    ]
    pinned = "".join((ROOT / f"requirements-{group}.txt").read_text() for group in ("dev", "audit", "rollout"))
    for name in names:
        assert f"\n{name}==" in f"\n{pinned}" or f"\n{name}[" in pinned, name
        assert f"| `{name}` |" in decisions, name
    assert pinned.count("==") <= pinned.count("--hash=sha256:")
    assert "://" not in pinned


def test_every_npm_package_is_pinned_by_hash_without_a_url() -> None:
    for folder in ("clients/typescript", "tests/e2e", "examples/nextjs", "benchmarks/peers/fastify"):
        wanted = json.loads((ROOT / folder / "package.json").read_text())
        locked = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
        installed = {name: package for name, package in locked.items() if "node_modules/" in name}
        assert {f"node_modules/{name}" for name in wanted["dependencies"]} <= {*installed}
        for name, package in installed.items():
            assert package.get("link") or package["integrity"].startswith("sha512-"), name
            assert "://" not in package.get("resolved", ""), name
