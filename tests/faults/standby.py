"""A primary whose commits wait for a standby, and the standby."""

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
        """From now on no commit is answered before the standby has written it down."""
        program = local_postgres._binaries() / "pg_basebackup"
        of = ["--host=127.0.0.1", f"--port={self.primary.port}", "--username=postgres"]
        how = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        copy = [*self.standby._before, str(program), f"--pgdata={self.standby._data}", *of, *how]
        await asyncio.to_thread(subprocess.run, copy, check=True, capture_output=True)
        await self.standby.start()
        await self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", database="postgres")
        await self.primary.execute("SELECT pg_reload_conf()", database="postgres")

    async def fail_over(self) -> float:
        """The primary is gone. The moment from which the standby takes its place."""
        await self.primary.crash()
        await self.standby.execute("SELECT pg_promote()", database="postgres")
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[Pair]:
    two = Pair(folder)
    async with running(two.primary):
        try:
            await two.join()
            yield two
        finally:
            await two.standby.stop()
