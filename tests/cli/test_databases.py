"""Databases that cannot be used, or not completely: every command says so in one line."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from adapters.postgres import schema
from tests.cli.conftest import Todo
from tests.databases import fresh_database, serving_role, url
from tests.faults.standby import Pair, pair

SECRET = {"BETTER_AUTH_SECRET": "a secret of at least thirty-two bytes"}
COMMANDS = (["migrate"], ["serve", "--port", "0"], ["doctor"])


@pytest.fixture
def todo(tmp_path: Path) -> Todo:
    return Todo(tmp_path)


def the_line(todo: Todo, command: list[str], conninfo: str) -> str:
    """What a command that fails says about the database."""
    refused = todo.run(*command, DATABASE_URL=url(conninfo), **SECRET)
    assert refused.returncode == 1
    if command != ["doctor"]:
        assert (refused.stdout, len(refused.stderr.splitlines())) == ("", 1)
        return refused.stderr
    assert refused.stderr == ""
    [line] = [line for line in refused.stdout.splitlines() if line.startswith("FAIL")]
    return line


@pytest.fixture
def shared(server: str, worker_id: str) -> Iterator[str]:
    with fresh_database(server, f"todo_shared_{worker_id}") as conninfo, psycopg.connect(conninfo) as connection:
        connection.execute("CREATE TABLE tasks (id integer)")
        connection.commit()
        yield conninfo


def test_a_database_in_another_encoding_is_refused(todo: Todo, server: str, worker_id: str) -> None:
    options = "LC_COLLATE 'C' LC_CTYPE 'C' ENCODING 'SQL_ASCII'"
    with fresh_database(server, f"todo_ascii_{worker_id}", options=options) as conninfo:
        for command in COMMANDS:
            assert "its encoding is SQL_ASCII; create one with ENCODING 'UTF8'" in the_line(todo, command, conninfo)


def test_a_table_of_another_program_is_refused(todo: Todo, shared: str) -> None:
    for command in COMMANDS:
        assert "it has a table tasks that `todo migrate` did not create" in the_line(todo, command, shared)


@pytest.fixture
async def replicated(tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(tmp_path) as running:
        yield running


async def test_a_standby_is_not_migrated_and_the_doctor_says_that_writes_will_fail(
    todo: Todo, replicated: Pair
) -> None:
    standby = replicated.standby.conninfo
    line = the_line(todo, ["migrate"], standby)
    assert "it is read-only (cannot execute " in line
    schema.migrate(replicated.primary.conninfo)
    assert "writes    the server is a standby: writes will fail" in the_line(todo, ["doctor"], standby)


def test_the_doctor_names_what_the_role_may_not_do(todo: Todo, database: str, worker_id: str) -> None:
    name = f"reader_{worker_id}"
    with serving_role(database, name, "INSERT, UPDATE ON tasks") as conninfo:
        line = the_line(todo, ["doctor"], conninfo)
    assert f"writes    the role {name} lacks INSERT on tasks, UPDATE on tasks" in line
