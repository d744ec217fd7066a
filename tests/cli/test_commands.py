import json
import os
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import jwt
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from typer.testing import CliRunner

from adapters.better_auth.identity import ExpectedClaims, sign
from domain.values import UserId
from entrypoints.cli.main import app
from tests.cli.conftest import Serving, Todo
from tests.databases import fresh_database, url

SECRET = "a secret of at least thirty-two bytes"


def test_a_token_has_a_subject_and_expires(todo: Todo) -> None:
    printed = todo.run(
        "token",
        "--user",
        "alice",
        "--expires",
        "15m",
        BETTER_AUTH_SECRET=SECRET,
        BETTER_AUTH_URL="http://localhost:3000",
    )
    claims = jwt.decode(printed.stdout.strip(), SECRET, ["HS256"], audience="http://localhost:3000")
    assert (claims["sub"], claims["iss"]) == ("alice", "http://localhost:3000")
    assert claims["exp"] - claims["iat"] == 15 * 60


def test_without_configuration_tokens_printed_in_the_same_folder_are_accepted(beside: tuple[Todo, Serving]) -> None:
    todo, server = beside
    printed = todo.run("token", "--user", "alice").stdout.strip()
    assert server.client(printed).get("/api/alice/tasks").status_code == 200


@pytest.mark.parametrize("expires", ["soon", "15", "-1d", "1y", "9999999d", "1.5h"])
def test_an_invalid_lifetime_is_refused(expires: str) -> None:
    refused = CliRunner().invoke(app, ["token", "--user", "alice", f"--expires={expires}"])
    assert refused.exit_code == 2
    assert "like 15m, 12h or 7d" in refused.stderr


@pytest.mark.parametrize("user", ["", "x" * 256])
def test_an_invalid_user_id_is_refused(todo: Todo, user: str) -> None:
    refused = todo.run("token", "--user", user, BETTER_AUTH_SECRET=SECRET)
    assert (refused.returncode, refused.stderr) == (1, "user_id must have 1 to 255 characters\n")


def test_the_openapi_document_is_printed_without_settings_or_database(todo: Todo) -> None:
    printed = todo.run("openapi")
    assert json.loads(printed.stdout)["info"]["title"] == "Tasks"
    assert list(todo.folder.iterdir()) == []


CHECKS = ("version", "settings", "database", "schema", "access", "writes", "secret")


def test_the_doctor_passes_without_configuration(beside: tuple[Todo, Serving]) -> None:
    todo, _ = beside
    examined = todo.run("doctor")
    assert examined.returncode == 0
    lines = examined.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", it] for it in CHECKS]
    assert lines[0] == f"ok    version   todo {version('todo-backend')}"
    assert lines[-1] == "ok    secret    1 shared secret (HS256)"


def test_the_doctor_names_what_is_wrong_and_no_secret(todo: Todo) -> None:
    examined = todo.run("doctor", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/app", BETTER_AUTH_SECRET=SECRET)
    assert examined.returncode == 1
    assert "FAIL  database  cannot connect" in examined.stdout
    assert "ok    secret" in examined.stdout
    wrong = todo.run("doctor", DATABASE_URL="mysql://me:hunter2@h/d", BETTER_AUTH_SECRET="hunter2")
    assert wrong.returncode == 1
    assert wrong.stdout.count("FAIL  settings") == 2
    for output in (examined.stdout, examined.stderr, wrong.stdout, wrong.stderr):
        assert "hunter2" not in output
        assert "Traceback" not in output


def test_the_doctor_lists_the_settings_for_frontends(beside: tuple[Todo, Serving]) -> None:
    todo, _ = beside
    chosen = {"COMPLETE_TOGGLES": "true", "KEEP_UNKNOWN_MEMBERS": "1", "DIALECT": "Words", "DIALECT_DELETE": "200"}
    expected = "COMPLETE_TOGGLES=true, KEEP_UNKNOWN_MEMBERS=true, DIALECT=words, DIALECT_DELETE=200"
    assert expected in todo.run("doctor", **chosen).stdout
    assert "other than documented" not in todo.run("doctor", COMPLETE_TOGGLES="false").stdout


def test_the_doctor_s_json_says_the_same_as_its_lines(todo: Todo, beside: tuple[Todo, Serving]) -> None:
    healthy = beside[0].run("doctor", "--json")
    assert healthy.returncode == 0
    document = json.loads(healthy.stdout)
    assert document["ok"] is True
    assert [check["name"] for check in document["checks"]] == [*CHECKS]
    down = {"DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/app", "BETTER_AUTH_SECRET": SECRET}
    failing, lines = todo.run("doctor", "--json", **down), todo.run("doctor", **down)
    assert failing.returncode == lines.returncode == 1
    document = json.loads(failing.stdout)
    assert document.keys() == {"ok", "checks"}
    assert all(check.keys() == {"name", "ok", "message"} for check in document["checks"])
    assert [
        f"{'ok  ' if check['ok'] else 'FAIL'}  {check['name']:<9} {check['message']}" for check in document["checks"]
    ] == lines.stdout.splitlines()
    assert document["ok"] is False


def test_the_doctor_writes_nothing_but_json_to_standard_output(todo: Todo) -> None:
    nowhere = {"DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/app", "BETTER_AUTH_URL": "http://127.0.0.1:1"}
    examined = todo.run("doctor", "--json", **nowhere)
    document = json.loads(examined.stdout)
    assert {check["name"]: check["ok"] for check in document["checks"]}["jwks"] is False
    [jwks] = [check["message"] for check in document["checks"] if check["name"] == "jwks"]
    assert "no usable JWKS at http://127.0.0.1:1/api/auth/jwks (ConnectError)" in jwks
    assert examined.stderr == ""


@pytest.fixture
def weak(server: str, worker_id: str) -> Iterator[str]:
    """A role whose only privilege is to log in."""
    name = sql.Identifier(f"weak_{worker_id}")
    password = sql.Literal(conninfo_to_dict(server).get("password"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, password))
        yield name.as_string().strip('"')
        connection.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.mark.parametrize("command", [["migrate"], ["serve", "--port", "0"], ["doctor"]])
def test_a_role_without_privileges_is_one_clear_line(todo: Todo, database: str, weak: str, command: list[str]) -> None:
    settings = {"DATABASE_URL": url(make_conninfo(database, user=weak)), "BETTER_AUTH_SECRET": SECRET}
    refused = todo.run(*command, **settings)
    assert refused.returncode == 1
    [message] = [line for line in (refused.stdout + refused.stderr).splitlines() if "role" in line]
    assert "lacks privileges: row-level security hides all tasks from it; as their owner, run `todo migrate" in message
    assert "Traceback" not in refused.stderr


def test_a_role_is_made_to_serve_and_others_that_reach_the_tasks_are_found(
    todo: Todo, server: str, weak: str, worker_id: str
) -> None:
    with fresh_database(server, f"todo_roles_{worker_id}") as conninfo:
        owner = {"DATABASE_URL": url(conninfo), "BETTER_AUTH_SECRET": SECRET}
        serving = {**owner, "DATABASE_URL": url(make_conninfo(conninfo, user=weak))}
        todo.run("migrate", **owner)
        with psycopg.connect(conninfo) as connection:
            names = sql.Identifier(weak)
            connection.execute(sql.SQL("GRANT ALL ON tasks, task_creations, todo_alembic_version TO {}").format(names))
        refused = todo.run("serve", "--port", "0", **serving)
        hidden = "the role in DATABASE_URL lacks privileges: row-level security hides all tasks from it;"
        assert (refused.returncode, refused.stderr[1:].startswith(hidden[1:])) == (1, True)
        assert f"FAIL  schema    {hidden}" in todo.run("doctor", **serving).stdout
        found = todo.run("doctor", **owner).stdout
        assert f"FAIL  access    other roles reach the tasks: {weak} (REFERENCES, TRIGGER, TRUNCATE)" in found
        assert f"REVOKE ALL ON tasks, task_creations, todo_alembic_version FROM {weak}" in found
        with psycopg.connect(conninfo) as connection:
            connection.execute(
                sql.SQL("REVOKE ALL ON tasks, task_creations, todo_alembic_version FROM {}").format(names)
            )
        for _ in range(2):
            migrated = todo.run("migrate", "--serving-role", weak, **owner)
            assert migrated.stdout.endswith(f"{weak} may serve: it reads and changes tasks, and nothing else.\n")
        for role in (owner, serving):
            line = f"ok    access    besides the owner of the tables, the serving role {weak}"
            assert line in todo.run("doctor", **role).stdout
        guarded = {"DATABASE_ROW_SECURITY": "true"}
        for role, found in ((owner, "does not apply to this role"), (serving, "admits all tasks")):
            assert f"is set, but row-level security {found}" in todo.run("doctor", **role, **guarded).stdout
        migrated = todo.run("migrate", "--serving-role", weak, **owner, **guarded)
        assert migrated.stdout.endswith("changes tasks of the owners that a statement carries, and nothing else.\n")
        assert "ok    access    besides" in todo.run("doctor", **serving, **guarded).stdout
        assert "FAIL  access    row-level security admits tasks by their owner" in todo.run("doctor", **serving).stdout
        assert "set DATABASE_ROW_SECURITY=true" in todo.run("serve", "--port", "0", **serving).stderr
        with todo.serve(**serving, **guarded) as running:
            client = running.client(sign(UserId("alice"), SECRET, ExpectedClaims(), seconds=600))
            created = client.post("/api/tasks", json={"title": "Buy milk"}, headers={"Idempotency-Key": "k"})
            assert (created.status_code, client.get("/api/tasks").json()) == (201, [created.json()])
        for role, found in ((serving, "Nothing was erased: row-level security hides"), (owner, "0 of 1 user")):
            erased = todo.run("erase", "--absent-from", "tasks.user_id", "--dry-run", **role, **guarded)
            assert (erased.stdout + erased.stderr).startswith(found)
        absent = todo.run("migrate", "--serving-role", "nobody", **owner)
        assert (absent.returncode, len(absent.stderr.splitlines())) == (1, 1)
        assert absent.stderr.startswith("There is no role nobody: create it first")
        with psycopg.connect(conninfo) as connection:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(names))


def test_a_role_that_may_not_create_tables_is_one_clear_line(todo: Todo, server: str, weak: str) -> None:
    with fresh_database(server, f"of_{weak}") as empty:
        settings = {"DATABASE_URL": url(make_conninfo(empty, user=weak)), "BETTER_AUTH_SECRET": SECRET}
        refused = todo.run("migrate", **settings)
    assert refused.returncode == 1
    assert refused.stderr == "The role in DATABASE_URL lacks privileges: permission denied for schema public\n"


@pytest.mark.parametrize(
    "command", [["doctor"], ["serve", "--port", "0"], ["serve", "--port", "0", "--workers", "2"]], ids=" ".join
)
def test_a_proxy_that_cannot_be_used_is_one_clear_line(todo: Todo, database: str, command: list[str]) -> None:
    proxy = {"ALL_PROXY": "socks5h://me:hunter2@127.0.0.1:1080", "NO_PROXY": ""}
    refused = todo.run(*command, DATABASE_URL=url(database), BETTER_AUTH_URL="http://127.0.0.1:1", **proxy)
    assert refused.returncode == 1
    [message] = [line for line in (refused.stdout + refused.stderr).splitlines() if "ALL_PROXY" in line]
    assert "must be http:// or https:// proxies, because SOCKS is not supported" in message
    assert "Traceback" not in refused.stderr
    assert "hunter2" not in refused.stdout + refused.stderr


def test_an_unreachable_database_is_one_clear_line(todo: Todo) -> None:
    refused = todo.run("migrate", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/app", BETTER_AUTH_SECRET=SECRET)
    assert refused.returncode == 1
    assert refused.stderr.startswith("Cannot connect to the database at DATABASE_URL: ")
    assert "hunter2" not in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_without_a_command_the_commands_are_listed(todo: Todo) -> None:
    printed = todo.run()
    for command in ("serve", "migrate", "token", "openapi", "doctor"):
        assert command in printed.stdout + printed.stderr


def test_the_version_is_printed(todo: Todo) -> None:
    assert todo.run("--version").stdout == f"todo {version('todo-backend')}\n"


def test_the_help_calls_the_program_todo_and_cuts_no_line_off(todo: Todo) -> None:
    printed = todo.run("--help").stdout
    assert printed.splitlines()[0].startswith("Usage: todo ")
    assert "..." not in printed.replace("COMMAND [ARGS]...", "")


def test_on_windows_one_line_names_wsl_2(todo: Todo) -> None:
    program = (
        "import sys; from entrypoints.cli import main; sys.platform, sys.modules['fcntl'] = 'win32', None; main.main()"
    )
    refused = todo.execute([sys.executable, "-c", program, "serve"])
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert "WSL 2" in line


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["migrate"], ["doctor"]])
def test_a_production_install_without_a_database_url_is_one_line_that_names_it(todo: Todo, command: list[str]) -> None:
    refused = todo.run_production(*command)
    assert refused.returncode == 1
    [line] = [line for line in (refused.stdout + refused.stderr).splitlines() if "version" not in line]
    assert line.removeprefix("FAIL  settings  ") == (
        "DATABASE_URL is not set: set it, or run `todo serve --private` for a private development database."
    )
    assert not (todo.folder / ".todo").exists()


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["migrate"], ["doctor"]])
def test_any_setting_without_a_database_url_is_one_line_that_names_both(todo: Todo, command: list[str]) -> None:
    refused = todo.run(*command, BETTER_AUTH_URL="http://localhost:3000", CORS_ORIGINS="http://localhost:3000")
    assert refused.returncode == 1
    [line] = [line for line in (refused.stdout + refused.stderr).splitlines() if "version" not in line]
    assert "DATABASE_URL is not set, but BETTER_AUTH_URL, CORS_ORIGINS are: set it" in line
    assert not (todo.folder / ".todo").exists()


@pytest.mark.parametrize(
    ("arguments", "environment", "reason"),
    [
        (["--workers", "2"], {}, "--workers is 2"),
        (["--host", "0.0.0.0"], {}, "the host is 0.0.0.0"),
        ([], {"HOST": "::"}, "the host is ::"),
    ],
)
def test_several_workers_or_an_open_host_need_a_database_url(
    todo: Todo, arguments: list[str], environment: dict[str, str], reason: str
) -> None:
    refused = todo.run("serve", "--port", "0", *arguments, **environment)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert refused.stderr.startswith(f"DATABASE_URL is not set, but {reason}: ")
    assert not (todo.folder / ".todo").exists()


def test_the_private_database_is_refused_beside_a_configured_one(todo: Todo) -> None:
    own = {"DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/app", "BETTER_AUTH_SECRET": SECRET}
    refused = todo.run("serve", "--private", **own)
    assert refused.returncode == 1
    assert refused.stderr == (
        "DATABASE_URL is set: run `todo serve` to use that database, or unset it for --private.\n"
    )


@pytest.mark.parametrize("command", ["migrate", "doctor"])
def test_commands_beside_a_server_use_its_private_database(beside: tuple[Todo, Serving], command: str) -> None:
    todo, _ = beside
    assert todo.run_production(command).returncode == 0
    assert todo.run(command, CORS_ORIGINS="http://localhost:5500").returncode == 0


def test_a_misspelt_database_url_is_refused_by_every_command(todo: Todo) -> None:
    for command in (["serve"], ["migrate"], ["doctor"], ["token", "--user", "alice"]):
        refused = todo.run(*command, DATABASE_URI="postgresql://me:hunter2@h/d")
        assert refused.returncode == 1
        assert "DATABASE_URI: is not a setting; did you mean DATABASE_URL?" in refused.stdout + refused.stderr
        assert "hunter2" not in refused.stdout + refused.stderr


def test_the_doctor_says_that_an_empty_database_is_not_migrated(todo: Todo, server: str, worker_id: str) -> None:
    with fresh_database(server, f"todo_empty_{worker_id}") as conninfo:
        examined = todo.run("doctor", DATABASE_URL=url(conninfo), BETTER_AUTH_SECRET=SECRET)
    assert "FAIL  schema    not migrated: run `todo migrate`" in examined.stdout


def test_migrate_waits_for_the_database(todo: Todo, server: str, worker_id: str) -> None:
    name = f"todo_late_{worker_id}"
    late = {"DATABASE_URL": url(make_conninfo(server, dbname=name)), "BETTER_AUTH_SECRET": SECRET}
    at_once = todo.run("migrate", "--wait", "0", **late)
    assert (at_once.returncode, f'database "{name}" does not exist' in at_once.stderr) == (1, True)
    with psycopg.connect(server, autocommit=True) as connection:
        create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        later = threading.Timer(1.5, connection.execute, [create])
        later.start()
        try:
            assert todo.run("migrate", "--wait", "60", **late).stdout.startswith("Migrated the schema")
        finally:
            later.join()
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize(
    "planted", ["writable folder", "writable file", "linked folder", "linked file", "foreign file"]
)
def test_a_secret_that_somebody_else_may_have_planted_is_refused(todo: Todo, tmp_path: Path, planted: str) -> None:
    folder = tmp_path / "elsewhere" if planted == "linked folder" else todo.folder / ".todo"
    folder.mkdir(mode=0o700)
    file = tmp_path / "theirs" if planted == "linked file" else folder / "secret"
    file.write_text(SECRET)
    match planted:
        case "writable folder":
            folder.chmod(0o777)
        case "writable file":
            file.chmod(0o666)
        case "linked folder":
            (todo.folder / ".todo").symlink_to(folder)
        case "linked file":
            (folder / "secret").symlink_to(file)
        case "foreign file":
            if os.geteuid() != 0:
                pytest.skip("NOT CHECKED: only root can give a file away")
            os.chown(file, 65534, 65534)
    refused = todo.run("token", "--user", "alice")
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (1, "", 1)
    assert str(todo.folder / ".todo") in refused.stderr
