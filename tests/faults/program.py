"""`todo serve` in a process of its own, with batching or without."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.cli.conftest import Serving, Todo
from tests.databases import url
from tests.faults.load import CONTRACTS, load
from tests.faults.scenario import SECRET


class UnbatchedTodo(Todo):
    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.faults.unbatched", *arguments]


@asynccontextmanager
async def program(
    folder: Path, database: str, *arguments: str, batching: bool = True, **more: str
) -> AsyncIterator[Serving]:
    address = database if database.startswith("postgresql://") else url(database)
    settings = {"DATABASE_URL": address, "BETTER_AUTH_SECRET": SECRET, **more}
    todo = Todo(folder) if batching else UnbatchedTodo(folder)
    serving = await asyncio.to_thread(todo.serve(*arguments, **settings).__enter__)
    try:
        await warm_up(serving.address)
        yield serving
    finally:
        await asyncio.to_thread(serving.__exit__)


async def warm_up(address: str) -> None:
    """The first request of a process loads what the others find loaded."""
    async with load(address, CONTRACTS[0], SECRET, "first"), load(address, CONTRACTS[1], SECRET, "first"):
        await asyncio.sleep(0.5)
