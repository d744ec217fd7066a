"""A separate PostgreSQL server on a TCP port, which tests stop, crash and restart."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from entrypoints.cli import local_postgres
from tests.faults.machine import with_children

# fsync is unnecessary: a killed process loses nothing that it has written to the kernel, and commits are written.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "max_connections": "60",
    "max_wal_size": "64MB",
}
DISK = "2m"
START_SECONDS = STOP_SECONDS = 60


class Cluster:
    """One server with the unprivileged role `todo` and its database of the same name."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._log = data.with_suffix(".log")
        self._command_prefix = [*local_postgres._unprivileged()]
        self._pid: int | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.conninfo = self._conninfo("todo", "todo")

    def _conninfo(self, user: str, database: str) -> str:
        return make_conninfo("sslmode=disable", host="127.0.0.1", port=self.port, user=user, dbname=database)

    async def create(self) -> None:
        await asyncio.to_thread(local_postgres._create, self._data, local_postgres._binaries())
        await self.start()
        await self.execute("CREATE ROLE todo LOGIN", database="postgres")
        await self.execute("CREATE DATABASE todo OWNER todo", database="postgres")

    async def start(self) -> float:
        """Returns the time of the event loop from which it accepted queries."""
        settings = {**SETTINGS, "port": str(self.port)}
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        program = local_postgres._binaries() / "postgres"
        self._pid = local_postgres._spawn(
            [*self._command_prefix, str(program), "-D", str(self._data), *options], self._log
        )
        return await self.wait_until_ready()

    async def wait_until_ready(self) -> float:
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    await self.execute("SELECT 1", database="postgres")
                except psycopg.OperationalError:
                    await asyncio.sleep(0.02)
                else:
                    return asyncio.get_running_loop().time()

    async def stop(self) -> None:
        """Fast shutdown: ends every session and writes a checkpoint, as an orderly restart does."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGINT)
            await self._wait_until_stopped()

    async def crash(self) -> None:
        """Kills every process of the server at once."""
        assert self._pid is not None
        others = [pid for [pid] in await self.execute("SELECT pid FROM pg_stat_activity", database="postgres")]
        for pid in [self._pid, *others]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._wait_until_stopped()

    async def _wait_until_stopped(self) -> None:
        assert self._pid is not None
        for _ in range(STOP_SECONDS * 100):
            if local_postgres._gone(self._pid, self._data):
                break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError("PostgreSQL does not stop")
        self._pid = None

    def processes(self) -> list[int]:
        """Process IDs of the running server."""
        return [] if self._pid is None else with_children(self._pid)

    async def kill_a_backend(self) -> None:
        """Kills one session. PostgreSQL then ends all others and runs crash recovery."""
        [[pid], *_] = await self.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'todo'")
        os.kill(pid, signal.SIGKILL)

    async def terminate_sessions(self) -> int:
        """Terminates every session of the program, and returns how many there were, when they have ended: PostgreSQL
        itself returns when it has sent its signals."""
        terminate = "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'todo'"
        terminated = [pid for pid, _ in await self.execute(terminate, database="postgres")]
        running = f"SELECT FROM pg_stat_activity WHERE pid IN ({', '.join(map(str, [0, *terminated]))})"
        async with asyncio.timeout(STOP_SECONDS):
            while await self.execute(running, database="postgres"):
                pass
        return len(terminated)

    async def execute(self, statement: str, *, database: str = "todo") -> list[Any]:
        """Runs a statement as superuser, bypassing any proxy, and returns its rows."""
        async with await self.connect(database) as connection:
            cursor = await connection.execute(statement.encode())
            return await cursor.fetchall() if cursor.description else []

    async def connect(self, database: str = "todo") -> psycopg.AsyncConnection[Any]:
        """A connection as superuser, bypassing any proxy, in autocommit mode."""
        return await psycopg.AsyncConnection.connect(self._conninfo("postgres", database), autocommit=True)


class ClusterOnSmallDisk(Cluster):
    """Stores the tasks on a small tmpfs that only its own processes can see.

    Requires Linux with unprivileged user namespaces.
    """

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self._disk = data.with_suffix(".disk")
        self._disk.mkdir()
        mount = f'mount -t tmpfs -o size={DISK},mode=700 tmpfs "$0" && exec "$@"'
        as_root = ["unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-c", mount, str(self._disk)]
        self._command_prefix = [*as_root, "unshare", "--user", "--map-user=65534", "--"]

    async def move_tasks_to_disk(self) -> None:
        """Moves the table there. New tasks need new pages soon, because most of each page is reserved for updates."""
        await self.execute(f"CREATE TABLESPACE small LOCATION '{self._disk}'")
        await self.execute("ALTER TABLE tasks SET TABLESPACE small")
        await self.execute("ALTER TABLE tasks SET (fillfactor = 10)")


@asynccontextmanager
async def running(cluster: Cluster) -> AsyncIterator[None]:
    try:
        await cluster.create()
        yield
    finally:
        await cluster.stop()
