"""Load on the HTTP API at a bounded rate, with every request and response recorded."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import httpx2

from adapters.better_auth.identity import ExpectedClaims, sign
from domain.values import UserId

Contract = Literal[1, 2]
CONTRACTS: tuple[Contract, ...] = (1, 2)
UNAVAILABLE = {1: 503, 2: 500}

USERS = 4
CLIENTS = 10  # of each user; mostly idle, but more than there are database connections
PAUSE = 0.7  # seconds on average between the requests of one client
TASKS = 2  # of each client at most
TIMEOUT = 20  # seconds until a request counts as unanswered

Action = Literal["create", "get", "list", "change", "toggle", "complete", "delete"]


@dataclass(frozen=True, slots=True)
class Operation:
    """A request and its response. Times are seconds of the event loop's clock; `status` is None without a response."""

    user: str
    action: Action
    began: float
    ended: float
    status: int | None
    body: Any = None
    task: int | None = None
    sent: Mapping[str, Any] | None = None
    retry_after: str | None = None

    @property
    def done(self) -> bool:
        return self.status in (200, 201, 204)

    @property
    def failed(self) -> bool:
        """404 is not a failure: another client may have deleted the task."""
        return not self.done and self.status != 404

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def unavailable(self, contract: Contract) -> bool:
        """Whether it got the one error that a fault may cause."""
        return (
            self.status == UNAVAILABLE[contract]
            and self.body["code"] == "storage_unavailable"
            and self.retry_after is not None
        )


class User:
    """One user of one contract. Titles begin with a name that is unique to the task and never changes."""

    _names = count(1)

    def __init__(self, name: str, contract: Contract, http: httpx2.AsyncClient, secret: str) -> None:
        self.name = name
        self.operations: list[Operation] = []
        self.titles: dict[int, str] = {}  # of existing tasks, as far as the clients know
        self._http = http
        self._path = "/api/tasks" if contract == 1 else f"/api/{name}/tasks"
        self._token = sign(UserId(name), secret, ExpectedClaims(), seconds=3600)
        self._completion: Action = "toggle" if contract == 1 else "complete"

    async def create(self) -> Operation:
        title = f"{self.name}-{next(self._names)} new"
        return await self._send("create", "POST", sent={"title": title, "description": "x" * 100})

    async def get(self, task: int) -> Operation:
        return await self._send("get", "GET", task)

    async def list(self) -> Operation:
        return await self._send("list", "GET")

    async def retitle(self, task: int, title: str) -> Operation:
        return await self._send("change", "PATCH", task, sent={"title": f"{title.split()[0]} {next(self._names)}"})

    async def describe(self, task: int) -> Operation:
        return await self._send("change", "PUT", task, sent={"description": f"again {next(self._names)}"})

    async def reopen(self, task: int) -> Operation:
        return await self._send("change", "PATCH", task, sent={"completed": False})

    async def complete(self, task: int) -> Operation:
        """Toggles on contract 1."""
        return await self._send(self._completion, "PATCH", task, after="/complete")

    async def delete(self, task: int) -> Operation:
        return await self._send("delete", "DELETE", task)

    async def _send(
        self,
        action: Action,
        method: str,
        task: int | None = None,
        *,
        sent: Mapping[str, Any] | None = None,
        after: str = "",
    ) -> Operation:
        address = self._path + (f"/{task}" if task else "") + after
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            response = await self._http.request(
                method, address, json=sent, headers={"Authorization": f"Bearer {self._token}"}
            )
        except httpx2.TransportError:
            operation = Operation(self.name, action, began, clock(), None, None, task, sent)
        else:
            body = response.json() if response.content else None
            retry_after = response.headers.get("Retry-After")
            operation = Operation(
                self.name, action, began, clock(), response.status_code, body, task, sent, retry_after
            )
        self.operations.append(operation)
        return operation


class Load:
    """Several clients of several users, who work on one contract until `stop`."""

    def __init__(self, address: str, contract: Contract, secret: str, name: str) -> None:
        self.contract = contract
        self._working = True
        self._running, self._idle = asyncio.Event(), asyncio.Event()
        self._running.set()
        self._idle.set()
        self._in_flight = 0
        self._http = httpx2.AsyncClient(
            base_url=address, timeout=TIMEOUT, limits=httpx2.Limits(max_connections=200), trust_env=False
        )
        self._secret = secret
        self.guests: list[User] = []
        self.users = [User(f"{name}-{number}-{contract}", contract, self._http, secret) for number in range(USERS)]

    @property
    def operations(self) -> list[Operation]:
        return [operation for user in self.users for operation in user.operations]

    async def work(self) -> None:
        """Sends requests until `stop`; finally lists the tasks of every user."""
        clients = [_Client(user, random.Random(user.name + str(n))) for user in self.users for n in range(CLIENTS)]
        await asyncio.gather(*(self._repeat(client) for client in clients))
        await asyncio.gather(*(user.list() for user in self.users))

    async def _repeat(self, client: "_Client") -> None:
        while self._working:
            await client.pause()
            await self._running.wait()
            self._in_flight += 1
            self._idle.clear()
            await client.send_request()
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def pause(self) -> None:
        """Pauses the load. Returns when no request is in flight."""
        self._running.clear()
        await self._idle.wait()

    def resume(self) -> None:
        self._running.set()

    def stop(self) -> None:
        self._working = False
        self.resume()

    def guest(self, name: str) -> User:
        """Another user, without clients: only the test sends requests as this user. They count in the history."""
        self.guests.append(User(f"{name}-{self.contract}", self.contract, self._http, self._secret))
        return self.guests[-1]

    async def close(self) -> None:
        await self._http.aclose()


class _Client:
    """Reads and changes all tasks of its user; deletes only tasks that it created itself."""

    def __init__(self, user: User, dice: random.Random) -> None:
        self._user = user
        self._dice = dice
        self._mine: list[int] = []

    async def pause(self) -> None:
        await asyncio.sleep(self._dice.uniform(0, 2 * PAUSE))

    async def send_request(self) -> None:
        titles, dice = self._user.titles, self._dice
        if not titles or (len(self._mine) < TASKS and dice.random() < 0.15):
            await self._create()
        elif self._mine and dice.random() < 0.05:
            await self._delete()
        elif dice.random() < 0.15:
            await self._user.list()
        else:
            user, (task, title) = self._user, dice.choice([*titles.items()])
            do = dice.choice([user.complete, user.complete, user.get, user.describe, user.reopen])
            await (do(task) if dice.random() < 0.85 else user.retitle(task, title))

    async def _create(self) -> None:
        created = await self._user.create()
        if created.done:
            self._mine.append(created.body["id"])
            self._user.titles[created.body["id"]] = created.body["title"]

    async def _delete(self) -> None:
        task = self._dice.choice(self._mine)
        if (await self._user.delete(task)).status in (204, 404):
            self._mine.remove(task)
            self._user.titles.pop(task, None)


@asynccontextmanager
async def load(address: str, contract: Contract, secret: str, name: str) -> AsyncIterator[Load]:
    """Load while the context is open. All requests are complete when it closes."""
    users = Load(address, contract, secret, name)
    working = asyncio.create_task(users.work())
    try:
        yield users
        users.stop()
        await working
    finally:
        working.cancel()
        await asyncio.wait([working])
        await users.close()
