"""nginx with `deploy/nginx.conf`, on free ports."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.installation import ROOT

SITE = ROOT / "deploy/nginx.conf"

MAIN = """
{user}
daemon off;
worker_processes 2;
pid nginx.pid;
error_log error.log info;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include todo.conf;
}}
"""


@dataclass(frozen=True)
class Nginx:
    """Address and error log of a running nginx."""

    address: str
    _log: Path

    @property
    def log(self) -> str:
        return self._log.read_text()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def enabled(*directives: str) -> dict[str, str]:
    """The changes that uncomment the lines of the configuration that begin with these directives."""
    lines = [line for line in SITE.read_text().splitlines() if line.lstrip().startswith("# ")]
    wanted = {line: line.replace("# ", "", 1) for line in lines if line.lstrip(" #").startswith(directives)}
    assert len(wanted) >= len(directives), directives
    return wanted


def _site(listen: int, first: int, second: int, more: Mapping[str, str]) -> str:
    """The configuration of production, with other ports, and with changes that an operator may make."""
    text = SITE.read_text()
    changes = {
        **more,
        "listen 80;": f"listen 127.0.0.1:{listen};",
        "127.0.0.1:8001 ": f"127.0.0.1:{first} ",
        "127.0.0.1:8002 ": f"127.0.0.1:{second} ",
    }
    for production, test in changes.items():
        assert len(re.findall(rf"^.*{re.escape(production)}", text, re.MULTILINE)) == 1, production
        text = text.replace(production, test)
    return text


def _configure(folder: Path, listen: int, first: int, second: int, changes: Mapping[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "todo.conf").write_text(_site(listen, first, second, changes))
    (folder / "nginx.conf").write_text(MAIN.format(user="user root;" if os.geteuid() == 0 else ""))


@asynccontextmanager
async def nginx(
    folder: Path, first: int, second: int, changes: Mapping[str, str] | None = None
) -> AsyncIterator[Nginx]:
    """Runs nginx in front of two servers on loopback, with changes of its configuration."""
    program = shutil.which("nginx", path=os.defpath + ":/usr/sbin")
    assert program, "nginx is missing: sh tests/deploy/install.sh"
    port = free_port()
    _configure(folder, port, first, second, changes or {})
    command = [program, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"]
    checked = await asyncio.to_thread(subprocess.run, [*command, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    process = await asyncio.to_thread(subprocess.Popen, command)
    try:
        await _wait_until_listening(port)
        yield Nginx(f"http://127.0.0.1:{port}", folder / "error.log")
    finally:
        process.send_signal(signal.SIGQUIT)
        await asyncio.to_thread(process.wait, 20)


async def _wait_until_listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                return writer.close()
