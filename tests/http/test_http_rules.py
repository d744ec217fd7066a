"""What holds for every path: the error body, bodies of requests, CORS, request ids, the 500."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import httpx2
import pytest
from dependency_injector.providers import Callable, Object
from starlette.types import Message

from adapters.in_memory import InMemoryTaskRepository
from domain.errors import DomainError, StorageUnavailable
from domain.listing import ALL, Position, Selection
from domain.task import Draft, Task
from domain.values import Title, UserId
from entrypoints.container import Container
from entrypoints.http.problem import ERRORS, TITLES
from entrypoints.observability.request_metrics import RequestCounts
from tests.http.conftest import FRONTEND, Contract, application, bearer, client, is_problem

Client = httpx2.AsyncClient
JSON = {"Content-Type": "application/json"}


class BrokenTaskRepository(InMemoryTaskRepository):
    """Fails in the way that it was made with."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self._failure = failure

    async def page(self, *_: object, **__: object) -> Sequence[Task]:
        raise self._failure


class BreakingOffTaskRepository(InMemoryTaskRepository):
    """Has two pages of a list, and no third."""

    pages = 2

    async def page(
        self, owner: UserId, selection: Selection = ALL, *, after: Position | None = None, limit: int
    ) -> Sequence[Task]:
        self.pages -= 1
        if self.pages < 0:
            raise StorageUnavailable
        [task] = await super().page(owner, selection, limit=1)
        return [task] * limit


# Errors


def _members(of: type[DomainError]) -> list[type[DomainError]]:
    return [of, *(member for child in of.__subclasses__() for member in _members(child))]


def test_every_domain_error_has_a_status() -> None:
    members = _members(DomainError)[1:]
    assert len(members) > 5
    assert set(members) == set(ERRORS)
    assert all(answer.status in TITLES for answer in ERRORS.values())


async def test_an_error_is_a_problem_where_the_client_says_that_it_knows_them(
    alice: Client, contract: Contract
) -> None:
    address = f"{contract.of_alice}/1"
    assert (await alice.get(address)).headers["content-type"] == "application/json"
    for accept in ("application/problem+json", "application/json, application/problem+json;q=0.9"):
        answer = await alice.get(address, headers={"Accept": accept})
        assert answer.headers["content-type"] == "application/problem+json"
        is_problem(answer, 404, "task_not_found")


@pytest.mark.parametrize("status", [403, 404])
async def test_the_texts_of_403_and_404_never_say_token(alice: Client, status: int) -> None:
    answer = await alice.get({403: "/api/bob/tasks", 404: "/api/tasks/1"}[status])
    assert answer.status_code == status
    assert "token" not in answer.text.lower()


async def test_a_defect_is_a_500_that_says_nothing_about_the_inside(wiring: Container, contract: Contract) -> None:
    wiring.tasks.override(Object(BrokenTaskRepository(RuntimeError("SELECT secret FROM /srv/app"))))
    async with client(wiring, **bearer("alice"), Origin=FRONTEND) as alice:
        answer = await alice.get(contract.of_alice)
    assert is_problem(answer, 500, "internal_error")["detail"] == "Internal server error"
    assert "secret" not in answer.text
    assert answer.headers["access-control-allow-origin"] == FRONTEND
    assert "retry-after" not in answer.headers


async def test_storage_out_of_reach_is_told_with_retry_after(wiring: Container, contract: Contract) -> None:
    wiring.tasks.override(Object(BrokenTaskRepository(StorageUnavailable())))
    async with client(wiring, **bearer("alice")) as alice:
        answer = await alice.get(contract.of_alice)
    is_problem(answer, contract.unavailable, "storage_unavailable")
    assert int(answer.headers["retry-after"]) > 0


# Bodies


async def test_a_body_of_64_kib_is_read_and_a_longer_one_is_413(alice: Client, contract: Contract) -> None:
    fits = b'{"title": "x"' + b" " * (64 * 1024 - 14) + b"}"
    assert (await alice.post(contract.of_alice, content=fits, headers=JSON)).status_code == 201

    async def chunks() -> object:
        for _ in range(80):
            yield b" " * 1024

    for content in (fits + b" ", b"x" * 10_000_000, chunks()):
        answer = await alice.post(contract.of_alice, content=content, headers=JSON)  # type: ignore[arg-type]
        is_problem(answer, 413, "body_too_large")
    assert len((await alice.get(contract.of_alice)).json()) == 1


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"],
)
async def test_a_body_of_another_declared_type_is_415(alice: Client, contract: Contract, media_type: str) -> None:
    answer = await alice.post(contract.of_alice, content=b'{"title": "x"}', headers={"Content-Type": media_type})
    is_problem(answer, 415, "unsupported_media_type")


async def test_a_compressed_body_is_415(alice: Client, contract: Contract) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    is_problem(await alice.post(contract.of_alice, content=b"\x1f\x8b", headers=headers), 415, "unsupported_media_type")


async def test_a_body_behind_an_upgrade_is_400_and_not_taken_for_none(alice: Client, contract: Contract) -> None:
    address = (await alice.post(contract.of_alice, json={"title": "x"})).headers["location"]
    upgrade = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}
    answer = await alice.patch(f"{address}/complete", json={"completed": False}, headers=upgrade)
    is_problem(answer, 400, "upgrade_refused")
    assert answer.headers["connection"] == "close"
    assert (await alice.get(address, headers=upgrade)).json()["completed"] is False


@pytest.mark.parametrize("headers", [{}, JSON, {"Content-Type": "Application/JSON; charset=utf-8"}])
async def test_json_is_read_whether_or_not_it_says_so(
    alice: Client, contract: Contract, headers: dict[str, str]
) -> None:
    answer = await alice.post(contract.of_alice, content='{"title": "日本語"}'.encode(), headers=headers)
    assert (answer.status_code, answer.json()["title"]) == (201, "日本語")


async def test_an_empty_body_of_another_type_is_no_body(alice: Client, contract: Contract) -> None:
    address = (await alice.post(contract.of_alice, json={"title": "x"})).headers["location"]
    answer = await alice.patch(f"{address}/complete", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.json()["completed"] is True


async def test_of_a_member_sent_twice_the_last_counts(alice: Client, contract: Contract) -> None:
    answer = await alice.post(contract.of_alice, content=b'{"title": "a", "title": "b"}', headers=JSON)
    assert answer.json()["title"] == "b"


# Request ids


@pytest.mark.parametrize("chosen", ["abc", "7f3a-1_2.3", "x" * 128])
async def test_a_request_id_that_the_client_chose_comes_back(alice: Client, chosen: str) -> None:
    answer = await alice.get("/api/tasks/1", headers={"X-Request-ID": chosen})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == chosen


@pytest.mark.parametrize("chosen", ["", "x" * 129, "a b", "a\tb", "<script>", "é", '"', "a,b"])
async def test_any_other_is_replaced(alice: Client, chosen: str) -> None:
    answer = await alice.get("/api/tasks", headers=[(b"X-Request-ID", chosen.encode("latin-1"))])
    assert answer.status_code == 200
    assert len(answer.headers["x-request-id"]) == 32


async def test_every_request_has_an_id_of_its_own(anybody: Client) -> None:
    assert len({(await anybody.get("/healthz")).headers["x-request-id"] for _ in range(10)}) == 10


# CORS


def preflight(origin: str, method: str = "PUT", headers: str = "authorization, content-type") -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_preflight_of_the_frontend_passes_without_a_token(
    anybody: Client, contract: Contract, method: str
) -> None:
    answer = await anybody.options(contract.of_alice, headers=preflight(FRONTEND, method))
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == FRONTEND
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert method in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    ours = {"authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "x-request-id"}
    ours |= {"traceparent", "tracestate"}
    assert ours <= set(allowed.split(", "))


@pytest.mark.parametrize(
    "origin", ["https://evil.example", f"{FRONTEND}.evil.example", "http://app.example.com", f"{FRONTEND}:8443", "null"]
)
async def test_another_origin_gets_nothing(anybody: Client, origin: str) -> None:
    refused = await anybody.options("/api/tasks", headers=preflight(origin))
    answer = await anybody.get("/api/tasks", headers={"Origin": origin})
    assert not [name for name in refused.headers if name.startswith("access-control")]
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("asked", [{"method": "TRACE"}, {"headers": "x-surprise"}])
async def test_a_preflight_for_more_than_is_allowed_is_refused(anybody: Client, asked: dict[str, str]) -> None:
    answer = await anybody.options("/api/tasks", headers=preflight(FRONTEND, **asked))
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_the_frontend_can_read_every_answer_errors_included(wiring: Container) -> None:
    wiring.ping.override(Callable(_fail))
    async with client(wiring, Origin=FRONTEND) as page:
        answers = [
            await page.get("/api/tasks"),
            await page.get("/api/tasks", headers=bearer("alice")),
            await page.get("/api/bob/tasks", headers=bearer("alice")),
            await page.get("/api/tasks/1", headers=bearer("alice")),
            await page.get("/api/tasks/x", headers=bearer("alice")),
            await page.get("/api/alice/tasks/x", headers=bearer("alice")),
            await page.put("/api/tasks", headers=bearer("alice")),
            await page.post("/api/tasks", content=b"x" * 70_000, headers=bearer("alice")),
            await page.get("/readyz"),
        ]
    assert [answer.status_code for answer in answers] == [401, 200, 403, 404, 422, 400, 405, 413, 503]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == FRONTEND
        assert answer.headers["access-control-allow-credentials"] == "true"
        exposed = set(answer.headers["access-control-expose-headers"].split(", "))
        assert exposed == {"Allow", "ETag", "Link", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"}
        assert "Origin" in answer.headers["vary"]


async def test_a_list_that_breaks_off_is_never_whole_and_is_counted_as_an_error(
    wiring: Container, contract: Contract
) -> None:
    counts = RequestCounts()
    wiring.tasks.override(Object(repository := BreakingOffTaskRepository()))
    await repository.add(UserId("alice"), Draft(Title("Buy milk")), datetime.now(UTC))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in bearer("alice").items()]
    scope = {"type": "http", "method": "GET", "path": contract.of_alice, "query_string": b"", "headers": headers}
    await application(wiring, counts=counts)(scope, _nothing_to_receive, send)
    assert sent[0]["status"] == 200
    assert sent[-1]["more_body"]
    assert not b"".join(message["body"] for message in sent[1:]).endswith(b"]")
    assert counts.errors == {"storage_unavailable": 1}


async def _nothing_to_receive() -> Message:
    await asyncio.Event().wait()
    return {}


# Health


async def _fail() -> None:
    raise StorageUnavailable


async def test_readiness_is_503_while_the_database_is_away_and_liveness_does_not_ask(wiring: Container) -> None:
    wiring.ping.override(Callable(_fail))
    async with client(wiring) as probe:
        assert (await probe.get("/healthz")).json() == {"status": "ok"}
        answer = await probe.get("/readyz")
    is_problem(answer, 503, "storage_unavailable")
    assert "retry-after" in answer.headers
