"""Importing the product changes nothing: no patch of a library, no signal handler, no garbage collector switch."""

import ast
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "application", "adapters", "entrypoints")
SCRIPTS = ("__main__", "migrations.env", "entrypoints.asgi")
"""Run by Python and by Alembic, not imported. `entrypoints.asgi` is imported for its effect: an attribute of
a module is the only way in which ASGI servers obtain an application."""

PROGRAM = """
import gc, importlib, json, logging, os, signal, sys, threading, warnings

def loggers():
    known = logging.root.manager.loggerDict.items()
    found = {name: logger for name, logger in known if isinstance(logger, logging.Logger)}
    return {
        name: (logger.level, logger.disabled, logger.propagate, len(logger.handlers), len(logger.filters))
        for name, logger in {**found, "root": logging.root}.items()
    }

def state():
    uvicorn = [name for name in sys.modules if name.partition(".")[0] == "uvicorn"]
    return {
        "uvicorn": {name: {key: id(value) for key, value in vars(sys.modules[name]).items()} for name in uvicorn},
        "signals": {number: str(signal.getsignal(number)) for number in signal.valid_signals()},
        "garbage collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "environment": dict(os.environ),
        "loggers": loggers(),
        "warnings": [str(each) for each in warnings.filters],
        "threads": threading.active_count(),
        "excepthook": str(sys.excepthook),
        "folder": os.getcwd(),
    }

def changes(before, after):
    # What is new is no change: submodules as attributes of a package, loggers of modules.
    for subject, was in before.items():
        now = after[subject]
        if isinstance(was, dict):
            yield from ((subject, key) for key in was if not contains(now.get(key), was[key]))
            if subject in ("environment", "signals"):
                yield from ((subject, key) for key in now.keys() - was.keys())
        elif was != now:
            yield subject, f"{was} -> {now}"

def contains(now, was):
    return all(now.get(key) == value for key, value in was.items()) if isinstance(was, dict) else now == was

libraries, modules = json.loads(sys.argv[1])
for name in libraries:
    importlib.import_module(name)
found = []
before = state()
for name in modules:
    importlib.import_module(name)
    after = state()
    found += [(name, *change) for change in changes(before, after)]
    before = after
print(json.dumps([found, sorted(sys.modules)]))
"""


def product() -> list[str]:
    """Every module of the product that can be imported."""
    paths = [(f"{package}.", [str(ROOT / package)]) for package in PACKAGES]
    names = [found.name for prefix, path in paths for found in _walk(path, prefix)]
    return [*PACKAGES, *(name for name in names if not name.endswith(SCRIPTS))]


def _walk(path: list[str], prefix: str) -> Iterator[pkgutil.ModuleInfo]:
    for found in pkgutil.iter_modules(path, prefix):
        yield found
        if found.ispkg:
            yield from _walk([str(Path(path[0]) / found.name.rpartition(".")[2])], f"{found.name}.")


def libraries() -> list[str]:
    """What the product imports from elsewhere: its side effects are not ours."""
    trees = [ast.parse(file.read_text()) for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return sorted(name for name in names if name.partition(".")[0] not in (*PACKAGES, "__future__"))


def imported(libraries: list[str], modules: list[str]) -> tuple[list[list[str]], set[str]]:
    """What changed, and all modules that are loaded, after importing these in a new process."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([libraries, modules])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found, loaded = json.loads(run.stdout)
    return found, set(loaded)


def test_importing_any_module_changes_nothing() -> None:
    modules = product()
    assert len(modules) > 50
    assert imported([*libraries(), "uvicorn.supervisors.multiprocess"], modules)[0] == []


def test_importing_the_application_loads_neither_uvicorn_nor_the_command_line() -> None:
    found, loaded = imported([], ["entrypoints.http.app"])
    assert [change for change in found if change[1] not in ("loggers", "warnings")] == []
    assert not loaded & {"uvicorn", "typer", "prometheus_client", "opentelemetry.sdk"}
    assert not [name for name in loaded if name.startswith(("entrypoints.server", "entrypoints.cli"))]


def test_a_change_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "patching.py").write_text(
        "import gc, logging, os, signal\n"
        "from uvicorn.supervisors import multiprocess\n"
        "gc.disable()\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.environ['CHANGED'] = 'yes'\n"
        "logging.getLogger('asyncio').setLevel(logging.ERROR)\n"
        "multiprocess.Process = object\n"
    )
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PROGRAM}"
    arguments = json.dumps([["asyncio", "uvicorn.supervisors.multiprocess"], ["patching"]])
    run = subprocess.run([sys.executable, "-c", program, arguments], capture_output=True, text=True, check=True)
    found, _ = json.loads(run.stdout)
    assert sorted(subject for _, subject, _ in found) == [
        "environment",
        "garbage collector",
        "loggers",
        "signals",
        "uvicorn",
    ]
