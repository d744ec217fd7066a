"""The program beside the one of the stage, where a test needs one of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.cli.conftest import Serving, Todo
from tests.databases import url
from tests.faults.load import CONTRACTS, load
from tests.faults.scenario import SECRET


@asynccontextmanager
async def program(folder: Path, database: str, *arguments: str, **more: str) -> AsyncIterator[Serving]:
    address = database if database.startswith("postgresql://") else url(database)
    settings = {"DATABASE_URL": address, "BETTER_AUTH_SECRET": SECRET, **more}
    serving = await asyncio.to_thread(Todo(folder).serve(*arguments, **settings).__enter__)
    try:
        await warm_up(serving.address)
        yield serving
    finally:
        await asyncio.to_thread(serving.__exit__)


async def warm_up(address: str) -> None:
    """The first request of a process loads what the others find loaded."""
    for contract in CONTRACTS:
        async with load(address, contract, SECRET, "first"):
            await asyncio.sleep(0.5)
