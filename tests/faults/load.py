"""Users at work over HTTP, at a bounded pace, with everything written down that they asked and were told."""

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
CLIENTS = 10  # of each user: many, and seldom busy, so that a fault finds more of them than there are connections
PAUSE = 0.7  # seconds on average, between the requests of one client
TASKS = 2  # of each client, at most
PATIENCE = 20  # seconds, after which a request counts as never answered

Action = Literal["create", "get", "list", "change", "toggle", "complete", "delete"]


@dataclass(frozen=True, slots=True)
class Operation:
    """What was asked and answered, with the moments of both; `status` is None where no answer came."""

    user: str
    action: Action
    began: float
    ended: float
    status: int | None
    answer: Any = None
    task: int | None = None
    sent: Mapping[str, Any] | None = None
    retry_after: str | None = None

    @property
    def done(self) -> bool:
        return self.status in (200, 201, 204)

    @property
    def failed(self) -> bool:
        """404 is no failure: somebody else may have deleted the task."""
        return not self.done and self.status != 404

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def unavailable(self, contract: Contract) -> bool:
        """Whether it is the one error that a fault may cause."""
        return (
            self.status == UNAVAILABLE[contract]
            and self.answer["code"] == "storage_unavailable"
            and self.retry_after is not None
        )


class User:
    """One owner of tasks, asking on one contract. A title begins with its task's own name, which never changes."""

    _names = count(1)

    def __init__(self, name: str, contract: Contract, http: httpx2.AsyncClient, secret: str) -> None:
        self.name = name
        self.operations: list[Operation] = []
        self.titles: dict[int, str] = {}  # of the tasks that are there, as far as its clients know
        self._http = http
        self._path = "/api/tasks" if contract == 1 else f"/api/{name}/tasks"
        self._token = sign(UserId(name), secret, ExpectedClaims(), seconds=3600)
        self._completion: Action = "toggle" if contract == 1 else "complete"

    async def create(self) -> Operation:
        title = f"{self.name}-{next(self._names)} new"
        return await self._ask("create", "POST", sent={"title": title, "description": "x" * 100})

    async def get(self, task: int) -> Operation:
        return await self._ask("get", "GET", task)

    async def list(self) -> Operation:
        return await self._ask("list", "GET")

    async def retitle(self, task: int, title: str) -> Operation:
        return await self._ask("change", "PATCH", task, sent={"title": f"{title.split()[0]} {next(self._names)}"})

    async def describe(self, task: int) -> Operation:
        return await self._ask("change", "PUT", task, sent={"description": f"again {next(self._names)}"})

    async def reopen(self, task: int) -> Operation:
        return await self._ask("change", "PATCH", task, sent={"completed": False})

    async def complete(self, task: int) -> Operation:
        """Toggles on contract 1."""
        return await self._ask(self._completion, "PATCH", task, after="/complete")

    async def delete(self, task: int) -> Operation:
        return await self._ask("delete", "DELETE", task)

    async def _ask(
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
            answer = response.json() if response.content else None
            retry_after = response.headers.get("Retry-After")
            operation = Operation(
                self.name, action, began, clock(), response.status_code, answer, task, sent, retry_after
            )
        self.operations.append(operation)
        return operation


class Load:
    """Several clients of each of several users, at work on one contract until they are told to stop."""

    def __init__(self, address: str, contract: Contract, secret: str, name: str) -> None:
        self.contract = contract
        self._working = True
        self._awake, self._quiet = asyncio.Event(), asyncio.Event()
        self._awake.set()
        self._quiet.set()
        self._asking = 0
        self._http = httpx2.AsyncClient(
            base_url=address, timeout=PATIENCE, limits=httpx2.Limits(max_connections=200), trust_env=False
        )
        self._secret = secret
        self.guests: list[User] = []
        self.users = [User(f"{name}-{number}-{contract}", contract, self._http, secret) for number in range(USERS)]

    @property
    def operations(self) -> list[Operation]:
        return [operation for user in self.users for operation in user.operations]

    async def work(self) -> None:
        """Until `stop`; then everybody looks at all that they have."""
        clients = [_Client(user, random.Random(user.name + str(n))) for user in self.users for n in range(CLIENTS)]
        await asyncio.gather(*(self._keep_at_work(client) for client in clients))
        await asyncio.gather(*(user.list() for user in self.users))

    async def _keep_at_work(self, client: "_Client") -> None:
        while self._working:
            await client.rest()
            await self._awake.wait()
            self._asking += 1
            self._quiet.clear()
            await client.do_something()
            self._asking -= 1
            if not self._asking:
                self._quiet.set()

    async def sleep(self) -> None:
        """Returns when everything is answered that was asked; nothing more is asked."""
        self._awake.clear()
        await self._quiet.wait()

    def wake(self) -> None:
        self._awake.set()

    def stop(self) -> None:
        self._working = False
        self.wake()

    def guest(self, name: str) -> User:
        """Another user, who does only what a test does in their name; their operations count in the history."""
        self.guests.append(User(f"{name}-{self.contract}", self.contract, self._http, self._secret))
        return self.guests[-1]

    async def close(self) -> None:
        await self._http.aclose()


class _Client:
    """Deletes only what it made itself; looks at and changes what any client of its user made."""

    def __init__(self, user: User, dice: random.Random) -> None:
        self._user = user
        self._dice = dice
        self._mine: list[int] = []

    async def rest(self) -> None:
        await asyncio.sleep(self._dice.uniform(0, 2 * PAUSE))

    async def do_something(self) -> None:
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
        made = await self._user.create()
        if made.done:
            self._mine.append(made.answer["id"])
            self._user.titles[made.answer["id"]] = made.answer["title"]

    async def _delete(self) -> None:
        task = self._dice.choice(self._mine)
        if (await self._user.delete(task)).status in (204, 404):
            self._mine.remove(task)
            self._user.titles.pop(task, None)


@asynccontextmanager
async def load(address: str, contract: Contract, secret: str, name: str) -> AsyncIterator[Load]:
    """At work while the context is open. What was asked until then has been answered afterwards."""
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
