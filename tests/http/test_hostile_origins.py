"""Which pages may call the API where CORS_ORIGINS has patterns, and which patterns are refused."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from entrypoints.cors_origins import cors_origin, regular_expression
from tests.http.conftest import client, container

VERCEL, PAGES, OWN = "https://todo-*-team.vercel.app", "https://*.todo.pages.dev", "https://*.preview.example.com"

ADMITTED = [
    "https://todo-git-main-team.vercel.app",
    "https://todo-7xk2a9-team.vercel.app",
    "https://3fa1.todo.pages.dev",
    "https://pr-12.preview.example.com",
    "https://app.example.com",
]

HOSTILE = [
    "https://evil.vercel.app",
    "https://todo-team.vercel.app",
    "https://todo--team.vercel.app",
    "https://todo-a-team.vercel.app.evil.example",
    "https://evil.example/todo-a-team.vercel.app",
    "https://todo-a.evil-team.vercel.app",
    "https://xtodo-a-team.vercel.app",
    "https://todo-a-team.vercel.appx",
    "https://todo-a-teamxvercel.app",
    "http://todo-a-team.vercel.app",
    "https://todo-a-team.vercel.app:8443",
    "https://TODO-A-TEAM.vercel.app",
    "https://todo-a@evil.example#-team.vercel.app",
    "https://todo-a_b-team.vercel.app",
    "https://todo-ä-team.vercel.app",
    "https://todo.pages.dev",
    "https://a.b.todo.pages.dev",
    "https://a.todo.pages.dev.",
    "https://preview.example.com",
    "https://evilpreview.example.com",
    "null",
    "*",
]

REFUSED = [
    "*",
    "https://*",
    "https://*.com",
    "https://*.co.uk",
    "https://todo-*.com",
    "https://todo-*.co.uk",
    "https://*.vercel.app",
    "https://a-*.vercel.app",
    "https://*.*.example.com",
    "https://todo-*.*.example.com",
    "https://app.*.example.com",
    "https://example.*",
    "https://todo*",
    "http://*.example.com",
    "*://todo-a-team.vercel.app",
    "https://todo-*-team.vercel.app@evil.example",
    "https://*.example.com:*",
    "https://user:*@app.example.com",
    "ftp://*.example.com",
    "*.example.com",
]


GUIDE = Path(__file__).parents[2] / "docs/how-to/previews.md"


@pytest.fixture
async def page() -> AsyncIterator[httpx2.AsyncClient]:
    async with client(container(cors_origins=",".join(["https://app.example.com", VERCEL, PAGES, OWN]))) as http:
        yield http


async def permission(page: httpx2.AsyncClient, origin: str) -> set[str | None]:
    """What a preflight and a response permit."""
    headers = [(b"origin", origin.encode()), (b"access-control-request-method", b"GET")]
    responses = [await page.request(method, "/api/tasks", headers=headers) for method in ("OPTIONS", "GET")]
    return {response.headers.get("Access-Control-Allow-Origin") for response in responses}


@pytest.mark.parametrize("origin", ADMITTED)
async def test_a_preview_of_the_project_is_admitted(page: httpx2.AsyncClient, origin: str) -> None:
    assert await permission(page, origin) == {origin}


async def test_no_hostile_origin_is_admitted(page: httpx2.AsyncClient) -> None:
    for origin in HOSTILE:
        assert await permission(page, origin) == {None}, origin


@pytest.mark.parametrize("refused", REFUSED)
def test_a_pattern_that_is_not_bound_to_a_project_is_refused(refused: str) -> None:
    with pytest.raises(ValueError, match=r"must|pattern|refused|covers") as wrong:
        cors_origin(refused)
    assert "evil" not in str(wrong.value)


def test_a_pattern_is_normalised_as_an_origin_is() -> None:
    assert cors_origin("https://Todo-*-Team.Vercel.App:443/") == VERCEL
    assert regular_expression(["https://app.example.com"]) is None


@pytest.mark.parametrize("listed", [*HOSTILE, *REFUSED])
def test_the_guide_lists_every_origin_and_pattern(listed: str) -> None:
    assert f"`{listed}`" in GUIDE.read_text()
