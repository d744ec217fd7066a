"""A pool that records which statements are sent."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.postgres import statements
from adapters.postgres.pool import Pool
from adapters.postgres.sql import Statement
from adapters.postgres.statements import IDS, PAGES

NAMES: Mapping[bytes, str] = {
    variant(statement).query: name
    for variant in (lambda statement: statement, statements.with_extras)
    for name, statement in (
        *((name, value) for name, value in vars(statements).items() if isinstance(value, Statement)),
        *(("PAGE", statement) for statement in (*PAGES.values(), *IDS.values())),
        ("SAVE", statements.SAVE),
    )
}


class WatchedPool(Pool):
    """Records the names of the statements sent since the last `take`, and the owners of their calls."""

    sent: Sequence[str] = ()
    owners: Sequence[str] = ()

    async def run(self, query: bytes, values: Sequence[str], deadline: float) -> Sequence[tuple[Any, ...]]:
        self.sent, self.owners = [*self.sent, NAMES[query]], [*self.owners, values[0]]
        return await super().run(query, values, deadline)

    def take(self) -> Sequence[str]:
        sent, self.sent, self.owners = self.sent, (), ()
        return sent
