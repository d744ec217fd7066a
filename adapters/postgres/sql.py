"""What a statement is: SQL that serves a batch of calls, with its parameters and limits, as data."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any

OWNERS = "{owners}"
"""In a statement's SQL, the first condition of the outermost query, which is always true. Under row-level security it
admits the owners of the batch's calls, and nobody else, before a table is read."""

_ADMIT_OWNERS = "(SELECT set_config('todo.owners', $1::varchar[]::text, true)) IS NOT NULL"
"""Depends on no table, so PostgreSQL evaluates it once, before whatever the query joins (a one-time filter). Of several
such conditions, the first is evaluated first."""

CALLS = "{calls}"
"""In a statement's SQL, the table `call`: one row per call, with a column for each parameter and the ordinal `n`."""

_IN_SHARD = re.compile(r" *\{AND (\w+) in shard\}")


def in_shard(table: str) -> str:
    """In a statement's SQL, the place of a redundant condition: the table's rows belong to the owners of the batch. A
    database with shards needs it to see that one shard is enough; otherwise it would only take time."""
    return f"{{AND {table} in shard}}"


@dataclass(frozen=True, eq=False)
class Statement:
    """SQL and its parameters, as data.

    `parameters` maps the parameters of one call to their PostgreSQL types. The first column of every returned row is
    the `n` of the call that the row belongs to. The first parameter of the repository's statements is the owner; the
    batcher takes waiting calls in turn by it, and `guarded_query` admits it. Statements of one name share a queue,
    counters and the number of executions in flight.
    """

    name: str
    sql: str
    parameters: Mapping[str, str]
    _: KW_ONLY
    batch_size: int = 200
    """Calls that may share one execution."""
    owner_share: int | None = None
    """How many of them may be of one owner, where each can return megabytes; None: all."""
    in_flight: int = 4
    """Executions that may run concurrently, where they are slow."""
    scans: bool = False
    """It looks at all tasks of the owner: such statements have at most half of the connections."""
    repeatable: bool = False
    """Executing it twice has the effect of executing it once, so it is retried when its outcome is unknown."""

    @cached_property
    def query(self) -> bytes:
        """As the driver sends it to a database without shards."""
        return self._query("true", "")

    @cached_property
    def guarded_query(self) -> bytes:
        """As the driver sends it where row-level security admits rows by their owners. The first parameter is the
        owner."""
        return self._query(_ADMIT_OWNERS, "")

    @cached_property
    def query_of_shard(self) -> bytes:
        """As the driver sends it to a database with shards, for calls of owners in one of them."""
        return self._query("true", r" AND \1.user_id = ANY ($1::varchar[])")

    def _query(self, owners: str, in_shard: str) -> bytes:
        """The sub-select hides the length of the batch from PostgreSQL's planner. Otherwise a short batch looks so
        cheap that it is planned anew each time, which takes longer than executing it."""
        first, *others = self.arguments
        arrays = ", ".join([f"(SELECT {first})", *others])
        columns = ", ".join([*self.parameters, "n"])
        calls = f"unnest({arrays}) WITH ORDINALITY AS call ({columns})"
        return _IN_SHARD.sub(in_shard, self.sql.replace(CALLS, calls).replace(OWNERS, owners)).encode()

    @property
    def arguments(self) -> list[str]:
        """One parameter of the query per parameter of a call, the owner's first: an array with an element per call."""
        return [f"${number}::{type_}[]" for number, type_ in enumerate(self.parameters.values(), 1)]

    def arrays(self, calls: Sequence[Sequence[object]]) -> list[str]:
        """One array literal per parameter, with one element per call."""
        return [array_literal(values) for _, values in zip(self.parameters, zip(*calls, strict=True), strict=True)]


def rows_by_call(rows: Iterable[tuple[Any, ...]], calls: int) -> Sequence[Sequence[tuple[Any, ...]]]:
    """The rows of each call, without `n`."""
    found: list[list[tuple[Any, ...]]] = [[] for _ in range(calls)]
    for row in rows:
        found[row[0] - 1].append(row[1:])
    return found


def array_literal(values: Iterable[object]) -> str:
    """The values as PostgreSQL reads arrays (its manual, section 8.15). psycopg's own conversion takes five to twenty
    times as long, because it looks up the conversion of every element."""
    elements = [
        '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if isinstance(value, str)
        else "NULL"
        if value is None
        else str(value)
        for value in values
    ]
    return "{" + ",".join(elements) + "}"
