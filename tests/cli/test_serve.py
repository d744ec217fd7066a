import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from adapters.postgres import schema
from entrypoints.cli import serve
from entrypoints.cli.local_postgres import running
from entrypoints.settings import Settings
from tests.cli.conftest import TIMEOUT, Serving, Todo, processes, wait_until
from tests.databases import fresh_database, url

WAITS_FOR_A_LOCK = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
SECRET = {"BETTER_AUTH_SECRET": "a secret of at least thirty-two bytes"}


def request_lines(todo: Todo) -> list[dict[str, object]]:
    """Lines of the log that are complete."""
    lines = (todo.folder / "log").read_text().split("\n")[:-1]
    return [line for line in map(json.loads, lines) if line["event"] == "request"]


def accepts_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return False
    return True


def wait_until_ready(server: Serving) -> None:
    """The readiness check has a timeout, which a busy machine may exceed."""
    client = server.client()
    wait_until(lambda: client.get("/readyz").status_code == 200)


def test_without_configuration_serve_prints_its_urls_and_a_curl_command_that_works(todo_without_data: Todo) -> None:
    todo = todo_without_data
    with todo.serve() as server:
        assert server.process.stdout
        for line in server.process.stdout:
            server.said.append(line.rstrip("\n"))
            if "Authorization" in line:
                break
        said = "\n".join(server.said)
        words = shlex.split(said[said.index("curl ") :].replace("\\\n", " "))
        made = subprocess.run([*words, "--silent"], capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert f"Listening on  {server.address}" in said
    assert f"Docs at       {server.address}/docs" in said
    assert f"Data in       {todo.folder / '.todo'}" in said
    assert "Open to       pages of http://localhost:* and http://127.0.0.1:* (CORS)" in said
    assert '"title":"Buy milk"' in made.stdout


@pytest.mark.parametrize("origin", ["http://localhost:5173", "http://127.0.0.1:3000", "http://localhost"])
def test_a_first_run_permits_pages_of_this_machine_on_any_port(beside: tuple[Todo, Serving], origin: str) -> None:
    response = beside[1].client().options("/api/tasks", headers=_preflight(origin))
    assert response.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        "https://localhost:5173",
        "http://localhost.evil.example",
        "http://localhost:5173.evil.example",
        "http://10.0.0.1:80",
        "http://127.0.0.1.evil.example:80",
        "http://127x0.0.1",
        "http://evil.example/http://localhost:1",
        "null",
    ],
)
def test_a_first_run_permits_no_other_pages(beside: tuple[Todo, Serving], origin: str) -> None:
    response = beside[1].client().options("/api/tasks", headers=_preflight(origin))
    assert "access-control-allow-origin" not in response.headers


def _preflight(origin: str) -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}


def test_configured_origins_replace_those_of_a_first_run(todo: Todo) -> None:
    with todo.serve(CORS_ORIGINS="http://localhost:5500") as server:
        client = server.client()
        origins = ("http://localhost:5500", "http://localhost:5173")
        permitted = [client.options("/api/tasks", headers=_preflight(origin)).status_code for origin in origins]
        server.stop()
    assert permitted == [200, 204]
    assert "Open to" not in "".join(server.said)


def test_the_generated_secret_is_readable_by_its_owner_only(beside: tuple[Todo, Serving]) -> None:
    todo, _ = beside
    assert stat.S_IMODE((todo.folder / ".todo").stat().st_mode) == 0o700
    assert stat.S_IMODE((todo.folder / ".todo/secret").stat().st_mode) == 0o600
    secret = (todo.folder / ".todo/secret").read_text()
    assert len(secret) >= 32
    assert secret not in (todo.folder / "log").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_shutdown_answers_requests_in_flight_and_leaves_nothing_behind(
    todo: Todo, number: signal.Signals
) -> None:
    with todo.serve() as server, ThreadPoolExecutor() as together:
        alice = server.client(todo.token("alice"))
        task = alice.post("/api/tasks", json={"title": "Buy milk"}).json()
        sockets = (todo.folder / ".todo/postgres/postmaster.pid").read_text().splitlines()[4]
        with psycopg.connect(f"host={sockets} user=postgres dbname=postgres") as somebody:
            somebody.execute("LOCK TABLE tasks IN EXCLUSIVE MODE")
            waiting = together.submit(alice.patch, f"/api/tasks/{task['id']}", json={"title": "Buy tea"})
            with psycopg.connect(f"host={sockets} user=postgres dbname=postgres", autocommit=True) as watching:
                wait_until(lambda: watching.execute(WAITS_FOR_A_LOCK).fetchone())
            server.process.send_signal(number)
            wait_until(lambda: not accepts_connections(int(server.address.rpartition(":")[2])))
        assert waiting.result(TIMEOUT).json()["title"] == "Buy tea"
        assert server.process.wait(TIMEOUT) == 0
    assert todo.postgres() is None
    assert not Path(sockets).exists()


def test_several_servers_in_one_folder_share_the_database(todo: Todo) -> None:
    with todo.serve() as first, todo.serve() as second:
        token = todo.token("alice")
        first.client(token).post("/api/tasks", json={"title": "Buy milk"})
        assert first.stop() == 0
        assert len(second.client(token).get("/api/tasks").json()) == 1
        assert second.stop() == 0


def test_after_a_kill_the_next_start_adopts_the_database(todo: Todo) -> None:
    with todo.serve() as server:
        token = todo.token("alice")
        server.client(token).post("/api/tasks", json={"title": "Buy milk"})
        server.stop(signal.SIGKILL)
    orphan = todo.postgres()
    assert orphan is not None
    with todo.serve() as server:
        assert todo.postgres() == orphan
        assert len(server.client(token).get("/api/tasks").json()) == 1
        assert server.stop() == 0


def test_after_a_crash_of_server_and_database_the_next_start_recovers(todo: Todo) -> None:
    with todo.serve() as server:
        token = todo.token("alice")
        server.client(token).post("/api/tasks", json={"title": "Buy milk"})
        postgres = todo.postgres()
        assert postgres
        os.kill(postgres, signal.SIGKILL)
        server.stop(signal.SIGKILL)
    assert todo.postgres(), "the pid file outlives the crash"
    with todo.serve() as server:
        assert len(server.client(token).get("/api/tasks").json()) == 1


def test_a_damaged_pid_file_does_not_prevent_a_start(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    elsewhere = tmp_path / "todo-pg-elsewhere"
    elsewhere.mkdir()
    for content in ("", "\n", "garbage\n", "0\n", f"999999999\n/another\n1\n5432\n{elsewhere}\n", "1\n" * 8):
        with running(data, throwaway=True) as database:
            psycopg.connect(database).close()
        (data / "postmaster.pid").write_text(content)
    with running(data, throwaway=True) as database:
        psycopg.connect(database).close()
    assert elsewhere.exists()


def test_a_copied_folder_is_an_independent_database(todo: Todo, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = Todo(tmp_path_factory.mktemp("copy"))
    with todo.serve() as server:
        alice = server.client(todo.token("alice"))
        alice.post("/api/tasks", json={"title": "Buy milk"})
        shutil.copytree(todo.folder / ".todo", copy.folder / ".todo", ignore=shutil.ignore_patterns("*.log"))
        with copy.serve() as other:
            bob = other.client(copy.token("bob"))
            assert bob.post("/api/tasks", json={"title": "Buy tea"}).status_code == 201
            assert len(alice.get("/api/tasks").json()) == 1
        assert alice.post("/api/tasks", json={"title": "Buy bread"}).status_code == 201
    assert copy.postgres() is None


def test_containers_that_share_a_folder_never_start_two_servers_on_it(todo: Todo) -> None:
    """A server that runs in another container is joined, though its process is not visible."""
    data = todo.folder / ".todo/postgres"
    with todo.serve():
        pid_file = data / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join(["1", *lines[1:]]))  # the number that it has over there
        with todo.serve() as second:
            wait_until_ready(second)
        pid_file.write_text("\n".join(lines))


def test_a_damaged_secret_is_generated_again(todo: Todo) -> None:
    assert todo.run("token", "--user", "alice").returncode == 0
    for damage in (b"", b"short", b"\xff\xfe"):
        (todo.folder / ".todo/secret").write_bytes(damage)
        assert todo.run("token", "--user", "alice").returncode == 0
        assert len((todo.folder / ".todo/secret").read_text()) >= 32
    assert [path.name for path in (todo.folder / ".todo").glob("secret*")] == ["secret"]


def test_libpq_variables_for_another_database_are_ignored(todo: Todo) -> None:
    foreign = {
        "PGHOST": "elsewhere",
        "PGCHANNELBINDING": "require",
        "PGCLIENTENCODING": "LATIN1",
        "PGDATESTYLE": "German",
    }
    with todo.serve(**foreign) as server:
        made = server.client(todo.token("alice")).post("/api/tasks", json={"title": "😀"})
        assert (made.status_code, made.json()["title"]) == (201, "😀")


@pytest.mark.parametrize("delay", [0.0, 0.02])
def test_a_signal_during_startup_leaves_nothing_behind(todo: Todo, delay: float) -> None:
    before = set(Path("/tmp").glob("todo-pg-*"))
    process = subprocess.Popen(
        todo.command("serve", "--port", "0"), cwd=todo.folder, env=todo.environment, stdout=-3, stderr=-3
    )
    wait_until(lambda: process.poll() is not None or [*(todo.folder / ".todo").glob("postgres.log")])
    assert process.poll() is None
    time.sleep(delay)  # not synchronised: every moment must be safe
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIMEOUT) == 0
    assert todo.postgres() is None
    # Folders of other tests are empty for a moment only.
    wait_until(lambda: not {path for path in Path("/tmp").glob("todo-pg-*") if _is_empty(path)} - before)


def test_workers_exit_when_their_parent_is_killed(todo: Todo) -> None:
    with todo.serve("--workers", "2") as server:
        server.client().get("/readyz")
        server.stop(signal.SIGKILL)
        wait_until(lambda: not accepts_connections(int(server.address.rpartition(":")[2])))
    with todo.serve():
        pass


def test_workers_have_no_secret_in_their_environment(todo: Todo) -> None:
    with todo.serve("--workers", "2") as server:
        secret = (todo.folder / ".todo/secret").read_text()
        environments = [Path(f"/proc/{pid}/environ").read_text() for pid in processes(server.process.pid)]
    assert len(environments) > 2
    assert not any(secret in environment or "DATABASE_URL" in environment for environment in environments)


def test_several_workers_serve_and_stop(todo: Todo) -> None:
    with todo.serve("--workers", "2") as server:
        with server.client(todo.token("alice")) as alice:
            alice.post("/api/tasks", json={"title": "Buy milk"})
            assert len(alice.get("/api/tasks").json()) == 1
        assert server.stop() == 0


def test_a_busy_port_is_one_clear_line(todo: Todo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = todo.run("serve", "--port", str(port))
    assert refused.returncode == 1
    assert refused.stderr == (
        f"Port {port} is in use: stop the program that listens on it, or choose another port "
        f"with --port {port + 1} (make run PORT={port + 1}).\n"
    )
    assert not (todo.folder / ".todo").exists()


def test_the_kernel_takes_only_so_much_of_a_response_ahead_of_its_client() -> None:
    with serve._bound_socket("127.0.0.1", 0) as listener, socket.socket() as client:
        listener.listen()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        taken = 0
        with accepted, suppress(BlockingIOError):
            accepted.setblocking(False)
            while True:
                taken += accepted.send(bytes(65536))
        assert 0 < taken <= 3 * serve.SEND_BUFFER


def test_an_unusable_folder_is_one_clear_line(todo: Todo) -> None:
    (todo.folder / ".todo").write_text("in the way")
    refused = todo.run("serve", "--port", "0")
    assert refused.returncode == 1
    assert re.fullmatch(r"Cannot use /.*/\.todo \(.*\): fix that, or run in another folder\.\n", refused.stderr)


def test_a_configured_database_must_be_migrated_first(todo: Todo, server: str, worker_id: str) -> None:
    with fresh_database(server, f"todo_own_{worker_id}") as conninfo:
        own = {"DATABASE_URL": url(conninfo), **SECRET}
        refused = todo.run("serve", "--port", "0", **own)
        assert (refused.returncode, refused.stderr) == (
            1,
            "The database schema is out of date: run `todo migrate` first.\n",
        )
        assert todo.run("migrate", **own).stdout == (
            f"Migrated the schema from an empty database to revision {schema.HEAD}.\n"
        )
        assert todo.run("migrate", **own).stdout == f"The schema is up to date, at revision {schema.HEAD}.\n"
        with todo.serve(**own) as serving:
            wait_until_ready(serving)
            assert serving.stop() == 0
        assert "curl" not in "".join(serving.said)
    assert not (todo.folder / ".todo").exists()


def test_serve_starts_while_the_database_is_down(todo: Todo) -> None:
    nowhere = {"DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/app", **SECRET}
    with todo.serve(**nowhere) as serving, serving.client() as client:
        assert client.get("/healthz").status_code == 200
        unready = client.get("/readyz")
        assert (unready.status_code, unready.json()["code"]) == (503, "storage_unavailable")
        assert unready.json()["detail"] == "Storage is temporarily unavailable: cannot connect"
        assert serving.stop() == 0
    said = (todo.folder / "log").read_text()
    assert "hunter2" not in said
    refused = 'connection failed: connection to server at "127.0.0.1", port 1 failed: Connection refused'
    first, second, *log = said.splitlines()
    assert first == f"Cannot connect to the database at DATABASE_URL: {refused}"
    assert second == "Serving anyway: GET /readyz responds with 503 until the database can be used."
    assert [line["cause"] for line in map(json.loads, log) if line["event"] == "database unavailable"] == [refused]


def test_a_database_that_does_not_exist_is_named_by_serve_and_doctor_and_only_its_kind_by_readyz(
    todo: Todo, server: str
) -> None:
    own = {"DATABASE_URL": url(make_conninfo(server, dbname="nowhere")), **SECRET}
    with todo.serve(**own) as serving:
        detail = serving.client().get("/readyz").json()["detail"]
        serving.stop()
    assert detail == "Storage is temporarily unavailable: the database does not exist"
    said = (todo.folder / "log").read_text().splitlines()
    log = [json.loads(line) for line in said if line.startswith("{")]
    [cause] = [line["cause"] for line in log if line["event"] == "database unavailable"]
    assert cause.endswith('FATAL:  database "nowhere" does not exist')
    assert said[0] == f"Cannot connect to the database at DATABASE_URL: {cause}"
    assert f"FAIL  database  cannot connect: {cause}" in todo.run("doctor", **own).stdout


def test_host_and_port_come_from_the_environment_too(todo: Todo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = todo.run("serve", HOST="127.0.0.1", PORT=str(port))
    assert refused.stderr.startswith(f"Port {port} is in use")


def test_a_configured_database_is_not_served_without_a_key_source(todo: Todo) -> None:
    refused = todo.run("serve", DATABASE_URL="postgresql://me:hunter2@127.0.0.1/app")
    assert refused.returncode == 1
    assert "BETTER_AUTH_SECRET: must be set" in refused.stderr
    assert "hunter2" not in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_request_log_names_the_route_and_no_token_title_or_user(beside: tuple[Todo, Serving]) -> None:
    todo, server = beside
    alice = server.client(todo.token("alice-the-user"))
    before = len(request_lines(todo))
    alice.post("/api/tasks?access_token=s3cret", json={"title": "a private title"})
    alice.get("/api/alice-the-user/tasks/77")
    alice.get("/nowhere/s3cret")
    token = alice.headers["authorization"].removeprefix("Bearer ")
    wait_until(lambda: len(request_lines(todo)) == before + 3)
    log = (todo.folder / "log").read_text()
    assert '"route":"/api/{user_id}/tasks/{id}"' in log
    for private in ("s3cret", "a private title", "alice-the-user", token, "/77"):
        assert private not in log


def test_the_request_log_names_the_caller_by_a_pseudonym_that_an_operator_can_compute(
    beside: tuple[Todo, Serving],
) -> None:
    todo, server = beside
    before = len(request_lines(todo))
    server.client(todo.token("alice")).get("/api/tasks")
    server.client(todo.token("bob")).get("/api/alice/tasks")
    server.client(todo.token("日本")).get("/api/tasks/1")
    server.client().get("/api/tasks")
    server.client().get("/openapi.json")
    wait_until(lambda: len(request_lines(todo)) == before + 5)
    assert [(line["status"], line["caller"]) for line in request_lines(todo)[before:]] == [
        (200, "230550268730"),  # printf %s alice | b2sum -l 48
        (403, "9520f02d7dc8"),
        (404, "0c878e35b59d"),
        (401, None),
        (200, None),
    ]


def test_the_log_is_text_where_that_is_requested(todo: Todo) -> None:
    with todo.serve(LOG_FORMAT="text") as server:
        alice = server.client(todo.token("alice"))
        alice.post("/api/tasks", json={"title": ""})
        alice.patch("/api/alice/tasks/1/complete")
        server.client().get("/nowhere")
        server.stop()
    refused, missing, nowhere = (todo.folder / "log").read_text().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d POST /api/tasks 422 \d+\.\d ms invalid_input", refused)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d PATCH /api/\{user_id\}/tasks/\{id\}/complete 404 \d+\.\d ms task_not_found", missing
    )
    assert re.fullmatch(r"\d\d:\d\d:\d\d GET - 404 \d+\.\d ms not_found", nowhere)


def test_a_higher_log_level_leaves_out_requests_and_keeps_warnings(todo: Todo) -> None:
    nowhere = {"DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/app", **SECRET}
    with todo.serve(**nowhere, LOG_LEVEL="warning") as server:
        assert server.client().get("/readyz").status_code == 503
        server.stop()
    lines = [json.loads(line) for line in (todo.folder / "log").read_text().splitlines() if line.startswith("{")]
    assert {line["event"] for line in lines} == {"database unavailable"}


def _is_empty(folder: Path) -> bool:
    try:
        return not [*folder.iterdir()]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("host", "printed"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_a_development_token_is_printed_on_loopback_only(
    host: str, printed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Elsewhere, what a server prints ends up in a log."""
    configured = Settings(_env_file=None)
    effective = configured.model_copy(update={"better_auth_secret": [SecretStr("x" * 32)]})
    with socket.socket() as bound:  # it never listens
        bound.bind((host, 0))
        serve._greet(configured, effective, bound, None)
    output = capsys.readouterr().out
    assert ("Authorization: Bearer ey" in output) is printed
    assert ("todo token --user me" in output) is not printed
