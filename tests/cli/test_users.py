"""`todo erase` and `todo export`."""

import json
from collections.abc import Iterator

import psycopg
import pytest

from tests.cli.conftest import Todo
from tests.databases import fresh_database, url

SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture
def stored(server: str, template: str, worker_id: str) -> Iterator[str]:
    """Three users with tasks, two of them in a table of users."""
    with fresh_database(server, f"todo_users_{worker_id}", template) as conninfo:
        with psycopg.connect(conninfo) as connection:
            connection.execute(
                "INSERT INTO tasks (user_id, title, completed, created_at, updated_at, extras) "
                """SELECT name, name || n, false, now(), now(), '{"priority": "high"}' """
                "FROM unnest('{alice,bob,carol}'::text[]) AS name, "
                "generate_series(1, 1500) AS n"
            )
            connection.execute("INSERT INTO task_creations VALUES ('bob', 'k', 'd', 7, '2026-01-04T12:00Z')")
            connection.execute("CREATE TABLE people (person text); INSERT INTO people VALUES ('alice'), ('carol')")
        yield conninfo


def users(conninfo: str) -> list[tuple[str, int]]:
    with psycopg.connect(conninfo) as connection:
        return connection.execute(
            "SELECT user_id, count(*) FROM (SELECT user_id FROM tasks UNION ALL SELECT user_id FROM task_creations) "
            "AS stored GROUP BY 1 ORDER BY 1"
        ).fetchall()


def test_a_user_is_counted_exported_and_erased(todo: Todo, stored: str) -> None:
    settings = {"DATABASE_URL": url(stored), "BETTER_AUTH_SECRET": SECRET}
    counted = todo.run("erase", "--user", "bob", "--dry-run", **settings)
    assert counted.stdout == "Would erase 1 user with 1500 tasks and 1 idempotency key.\n"
    lines = [json.loads(line) for line in todo.run("export", "--user", "bob", **settings).stdout.splitlines()]
    assert [line["type"] for line in lines] == ["task"] * 1500 + ["idempotency_key"]
    assert (lines[0]["title"], lines[0]["user_id"], lines[0]["status"]) == ("bob1", "bob", "incomplete")
    assert lines[0]["priority"] == "high"  # a member that this server keeps, though it does not serve it
    assert lines[-1] == {
        "type": "idempotency_key",
        "user_id": "bob",
        "key": "k",
        "task_id": 7,
        "created_at": "2026-01-04T12:00:00Z",
    }
    for last in ("Erased 1500 tasks and 1 idempotency key.", "Erased 0 tasks and 0 idempotency keys."):
        erased = todo.run("erase", "--user", "bob", **settings)
        assert (erased.returncode, erased.stdout.splitlines()[-1]) == (0, last)
    assert users(stored) == [("alice", 1500), ("carol", 1500)]


def test_users_that_are_gone_are_erased(todo: Todo, stored: str) -> None:
    settings = {"DATABASE_URL": url(stored), "BETTER_AUTH_SECRET": SECRET}
    for arguments, last in (
        (["--dry-run"], "Would erase 1 user with 1500 tasks and 1 idempotency key."),
        ([], "Erased 1500 tasks and 1 idempotency key."),
        ([], "Erased 0 tasks and 0 idempotency keys."),
    ):
        done = todo.run("erase", "--absent-from", "people.person", *arguments, **settings)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, last)
        assert done.stdout.startswith(("1 of 3 users", "0 of 2 users"))
    assert users(stored) == [("alice", 1500), ("carol", 1500)]


def test_nothing_is_erased_where_no_user_is_in_the_table(todo: Todo, stored: str) -> None:
    settings = {"DATABASE_URL": url(stored), "BETTER_AUTH_SECRET": SECRET}
    with psycopg.connect(stored) as connection:
        connection.execute("DELETE FROM people")
    for table, message in (
        ("people.person", "Nothing was erased: none of the 3 users with records is in people.person."),
        ("people", "The table people has no column id: name another one, like people.user_id."),
        ("persons", "There is no table persons that this role may see."),
    ):
        refused = todo.run("erase", "--absent-from", table, **settings)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
        assert refused.stderr.startswith(message)
    assert len(users(stored)) == 3


@pytest.mark.parametrize("arguments", [[], ["--user", "alice", "--absent-from", "people"]])
def test_either_a_user_or_a_table_is_named(todo: Todo, arguments: list[str]) -> None:
    refused = todo.run("erase", *arguments)
    assert refused.returncode == 2
    assert "name either a user or a table" in refused.stderr


def test_a_user_of_another_issuer_is_named_with_it(todo: Todo, stored: str) -> None:
    settings = {
        "DATABASE_URL": url(stored),
        "BETTER_AUTH_URL": "https://app.example, https://preview.example/neondb/auth",
        "BETTER_AUTH_PRIMARY_URL": "https://app.example",
    }
    with psycopg.connect(stored) as connection:
        connection.execute("UPDATE tasks SET user_id = U&'https://preview.example\\001Falice' WHERE title = 'alice7'")
    issuer = ["--issuer", "https://preview.example/neondb/auth"]
    exported = todo.run("export", "--user", "alice", *issuer, **settings)
    [line] = exported.stdout.splitlines()
    assert (json.loads(line)["title"], json.loads(line)["user_id"]) == ("alice7", "alice")
    erased = todo.run("erase", "--user", "alice", *issuer, **settings)
    assert erased.stdout.endswith("Erased 1 task and 0 idempotency keys.\n")
    assert users(stored)[0] == ("alice", 1499)
    same = todo.run("erase", "--user", "alice", "--issuer", "https://app.example/", "--dry-run", **settings)
    assert same.stdout.startswith("Would erase 1 user with 1499 tasks")
    unknown = todo.run("erase", "--user", "alice", "--issuer", "https://typo.example", **settings)
    assert (unknown.returncode, unknown.stderr) == (
        1,
        "https://typo.example is no issuer in BETTER_AUTH_URL: add it there to reach its users.\n",
    )
