import json
from collections.abc import Iterator

import jwt
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.cli.conftest import Todo
from tests.databases import fresh_database, url

SECRET = "a secret of at least thirty-two bytes"


def test_a_token_speaks_for_a_user_for_a_while(todo: Todo) -> None:
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


def test_a_first_run_accepts_the_tokens_that_are_printed_in_its_folder(todo: Todo) -> None:
    printed = todo.run("token", "--user", "alice").stdout.strip()
    with todo.serve() as server:
        assert server.client(printed).get("/api/alice/tasks").status_code == 200


@pytest.mark.parametrize("expires", ["soon", "15", "-1d", "1y", "9999999d", "1.5h"])
def test_a_token_needs_a_time_that_is_one(todo: Todo, expires: str) -> None:
    refused = todo.run("token", "--user", "alice", f"--expires={expires}", BETTER_AUTH_SECRET=SECRET)
    assert refused.returncode == 2
    assert "like 15m, 12h or 7d" in refused.stderr


@pytest.mark.parametrize("user", ["", "x" * 256])
def test_a_token_needs_a_user_that_can_be_one(todo: Todo, user: str) -> None:
    refused = todo.run("token", "--user", user, BETTER_AUTH_SECRET=SECRET)
    assert (refused.returncode, refused.stderr) == (1, "user_id must have 1 to 255 characters\n")


def test_the_description_can_be_printed_without_anything(todo: Todo) -> None:
    printed = todo.run("openapi")
    assert json.loads(printed.stdout)["info"]["title"] == "Tasks"
    assert list(todo.folder.iterdir()) == []


def test_the_doctor_finds_a_first_run_well(todo: Todo) -> None:
    with todo.serve():
        examined = todo.run("doctor")
    assert examined.returncode == 0
    lines = examined.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", it] for it in ("settings", "database", "schema", "secret")]


def test_the_doctor_names_what_is_wrong_and_no_secret(todo: Todo) -> None:
    examined = todo.run("doctor", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/app", BETTER_AUTH_SECRET=SECRET)
    assert examined.returncode == 1
    assert "FAIL  database  cannot be reached" in examined.stdout
    assert "ok    secret" in examined.stdout
    wrong = todo.run("doctor", DATABASE_URL="mysql://me:hunter2@h/d", BETTER_AUTH_SECRET="hunter2")
    assert wrong.returncode == 1
    assert wrong.stdout.count("FAIL  settings") == 2
    for output in (examined.stdout, examined.stderr, wrong.stdout, wrong.stderr):
        assert "hunter2" not in output
        assert "Traceback" not in output


def test_the_doctor_tells_programs_the_same(todo: Todo) -> None:
    with todo.serve():
        well = todo.run("doctor", "--json")
    assert well.returncode == 0
    told = json.loads(well.stdout)
    assert told["well"] is True
    assert [finding["subject"] for finding in told["findings"]] == ["settings", "database", "schema", "secret"]
    sick = {"DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/app", "BETTER_AUTH_SECRET": SECRET}
    ill, lines = todo.run("doctor", "--json", **sick), todo.run("doctor", **sick)
    assert ill.returncode == lines.returncode == 1
    assert [
        f"{'ok  ' if finding['well'] else 'FAIL'}  {finding['subject']:<9} {finding['words']}"
        for finding in json.loads(ill.stdout)["findings"]
    ] == lines.stdout.splitlines()
    assert json.loads(ill.stdout)["well"] is False


def test_the_doctor_tells_programs_nothing_but_json_on_standard_output(todo: Todo) -> None:
    nowhere = {"DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:1/app", "BETTER_AUTH_URL": "http://127.0.0.1:1"}
    told = json.loads(todo.run("doctor", "--json", **nowhere).stdout)
    assert {finding["subject"]: finding["well"] for finding in told["findings"]}["keys"] is False


@pytest.fixture
def weak(server: str, worker_id: str) -> Iterator[str]:
    """A role that may log in and nothing else."""
    name = sql.Identifier(f"weak_{worker_id}")
    password = sql.Literal(conninfo_to_dict(server).get("password"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, password))
        yield name.as_string().strip('"')
        connection.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.mark.parametrize("command", [["migrate"], ["serve", "--port", "0"], ["doctor"]])
def test_a_role_with_too_few_rights_is_told_so_in_a_line(
    todo: Todo, database: str, weak: str, command: list[str]
) -> None:
    settings = {"DATABASE_URL": url(make_conninfo(database, user=weak)), "BETTER_AUTH_SECRET": SECRET}
    refused = todo.run(*command, **settings)
    assert refused.returncode == 1
    [told] = [line for line in (refused.stdout + refused.stderr).splitlines() if "role" in line]
    assert "too few rights: permission denied for table alembic_version" in told
    assert "Traceback" not in refused.stderr


def test_a_role_that_may_not_make_tables_is_told_so_in_a_line(todo: Todo, server: str, weak: str) -> None:
    with fresh_database(server, f"of_{weak}") as empty:
        settings = {"DATABASE_URL": url(make_conninfo(empty, user=weak)), "BETTER_AUTH_SECRET": SECRET}
        refused = todo.run("migrate", **settings)
    assert refused.returncode == 1
    assert refused.stderr == "The role in DATABASE_URL has too few rights: permission denied for schema public\n"


def test_a_command_that_needs_the_database_says_that_it_cannot_be_reached(todo: Todo) -> None:
    refused = todo.run("migrate", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/app", BETTER_AUTH_SECRET=SECRET)
    assert refused.returncode == 1
    assert refused.stderr.startswith("The database at DATABASE_URL cannot be reached: ")
    assert "hunter2" not in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_without_a_command_the_commands_are_listed(todo: Todo) -> None:
    printed = todo.run()
    for command in ("serve", "migrate", "token", "openapi", "doctor"):
        assert command in printed.stdout + printed.stderr
