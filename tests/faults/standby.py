"""A primary with synchronous replication, and its standby."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from entrypoints.cli import local_postgres
from tests.faults.cluster import Cluster, running


class Pair:
    def __init__(self, folder: Path) -> None:
        self.primary, self.standby = Cluster(folder / "primary"), Cluster(folder / "standby")

    async def join(self) -> None:
        """Creates the standby. From now on, commits wait until the standby has flushed them."""
        program = local_postgres._binaries() / "pg_basebackup"
        source = ["--host=127.0.0.1", f"--port={self.primary.port}", "--username=postgres"]
        options = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        copy = [*self.standby._command_prefix, str(program), f"--pgdata={self.standby._data}", *source, *options]
        await asyncio.to_thread(subprocess.run, copy, check=True, capture_output=True)
        await self.standby.start()
        await self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", database="postgres")
        await self.primary.execute("SELECT pg_reload_conf()", database="postgres")

    async def fail_over(self) -> float:
        """Kills the primary and promotes the standby. Returns the time of the event loop afterwards."""
        await self.primary.crash()
        await self.standby.execute("SELECT pg_promote()", database="postgres")
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[Pair]:
    created = Pair(folder)
    async with running(created.primary):
        try:
            await created.join()
            yield created
        finally:
            await created.standby.stop()
