"""Search and order are the same whatever the database's locale: Turkish, Greek and German letters."""
# ruff: noqa: RUF001  (the letters that look alike are what is tested)

from contextlib import ExitStack

import psycopg
import pytest

from adapters.in_memory import InMemoryTaskRepository
from adapters.postgres import schema
from adapters.postgres.database import Database
from adapters.postgres.pool import Pool
from adapters.postgres.repository import PostgresTaskRepository
from application.ports import TaskRepository
from domain.listing import Selection, Sort
from domain.search import SearchText
from domain.task import Draft
from domain.values import Title
from tests.contracts.task_repository import ALICE, NOON
from tests.databases import fresh_database

LOCALES = {
    "C.utf8": "LC_COLLATE 'C.utf8' LC_CTYPE 'C.utf8'",
    "tr_TR": "LC_COLLATE 'tr_TR.utf8' LC_CTYPE 'tr_TR.utf8'",
    "el_GR": "LC_COLLATE 'el_GR.utf8' LC_CTYPE 'el_GR.utf8'",
    "de_DE": "LC_COLLATE 'de_DE.utf8' LC_CTYPE 'de_DE.utf8'",
    "ICU tr": "LOCALE_PROVIDER icu ICU_LOCALE 'tr'",
    "ICU el": "LOCALE_PROVIDER icu ICU_LOCALE 'el'",
    "ICU de": "LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk'",
    "builtin": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'",
    "builtin with full case mapping": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST'",
}

WORDS = ["Istanbul", "İstanbul", "ıstanbul", "ISPARTA", "ısparta", "isparta"]
WORDS += ["Σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ", "Άρης", "άρης", "Αρης"]
WORDS += ["Straße", "STRAẞE", "Strasse", "STRASSE", "Äpfel", "äpfel", "Apfel", "Zebra"]

FOUND = {
    "ISTANBUL": {"Istanbul", "ıstanbul"},
    "ıstanbul": {"Istanbul", "ıstanbul"},
    "istanbul": {"Istanbul", "ıstanbul"},
    "İSTANBUL": {"İstanbul"},
    "σίσυφοσ": {"Σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ"},
    "άρης": {"Άρης", "άρης"},
    "straße": {"Straße", "STRAẞE"},
    "strasse": {"Strasse", "STRASSE"},
    "ÄPFEL": {"Äpfel", "äpfel"},
}
"""What docs/reference/http.md says: letters that differ by case only, one by one, in no language's own way."""


async def titles(tasks: TaskRepository, selection: Selection) -> list[str]:
    return [task.title for task in await tasks.page(ALICE, selection, limit=100)]


async def fill(tasks: TaskRepository) -> None:
    for word in WORDS:
        await tasks.add(ALICE, Draft(Title(word)), NOON)


@pytest.mark.parametrize("search", FOUND)
async def test_letters_match_in_any_case(search: str) -> None:
    memory = InMemoryTaskRepository()
    await fill(memory)
    assert set(await titles(memory, Selection(search=SearchText(search)))) == FOUND[search]


async def test_no_locale_that_the_server_has_changes_search_or_order(server: str, worker_id: str) -> None:
    memory = InMemoryTaskRepository()
    await fill(memory)
    tried = set()
    for name, options in LOCALES.items():
        with ExitStack() as stack:
            try:
                database = fresh_database(server, f"todo_localized_{worker_id}", options=options)
                conninfo = stack.enter_context(database)
            except psycopg.Error:  # this server was built without it
                continue
            schema.migrate(conninfo)
            await behaves_as(memory, conninfo)
            tried.add(name)
    assert tried


async def behaves_as(memory: TaskRepository, conninfo: str) -> None:
    pool = Pool(conninfo, connections=2, prepare=None)
    postgres = PostgresTaskRepository(Database(pool))
    try:
        await fill(postgres)
        for search in [*FOUND, *WORDS]:
            selection = Selection(search=SearchText(search))
            assert await titles(postgres, selection) == await titles(memory, selection), search
        for descending in (False, True):
            selection = Selection(sort=Sort.TITLE, descending=descending)
            assert await titles(postgres, selection) == sorted(WORDS, reverse=descending)
    finally:
        await pool.close()
