"""PgBouncer in transaction mode, between the program and its database."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from entrypoints.cli import local_postgres
from tests.faults.cluster import Cluster

SESSIONS = 4  # server connections

CONFIGURATION = """
[databases]
todo = host=127.0.0.1 port={database_port} dbname=todo user=todo
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
admin_users = todo
pool_mode = transaction
default_pool_size = {sessions}
server_fast_close = 1
logfile = {folder}/pgbouncer.log
"""


class PgBouncer:
    def __init__(self, cluster: Cluster, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port: int = free.getsockname()[1]
        self._configuration = folder / "pgbouncer.ini"
        self._configuration.write_text(
            CONFIGURATION.format(database_port=cluster.port, port=self._port, sessions=SESSIONS, folder=folder)
        )
        self.url = f"postgresql://todo@127.0.0.1:{self._port}/todo?sslmode=disable&gssencmode=disable"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        program = shutil.which("pgbouncer", path=os.defpath + ":/usr/sbin")
        assert program, "pgbouncer is missing: sh tests/faults/install.sh"
        command = [*local_postgres._unprivileged(), program, "--quiet", str(self._configuration)]
        self._process = await asyncio.to_thread(subprocess.Popen, command)
        async with asyncio.timeout(10):
            while True:
                try:
                    return await self.command("SHOW VERSION")
                except psycopg.OperationalError:
                    await asyncio.sleep(0.02)

    async def stop(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self._process.wait)

    async def command(self, command: str) -> None:
        """Runs a command of the admin console, such as PAUSE or RESUME."""
        console = self.url.replace("/todo?", "/pgbouncer?")
        async with await psycopg.AsyncConnection.connect(console, autocommit=True) as connection:
            await connection.execute(command.encode())


@asynccontextmanager
async def running_pgbouncer(cluster: Cluster, folder: Path) -> AsyncIterator[PgBouncer]:
    bouncer = PgBouncer(cluster, folder)
    await bouncer.start()
    try:
        yield bouncer
    finally:
        await bouncer.stop()
