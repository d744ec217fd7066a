"""What schemathesis is told that OpenAPI cannot say."""

import re
from itertools import count
from typing import Any

import schemathesis

NUMBERS = count()
DONE = ("complete", "completed")


@schemathesis.hook
def filter_case(_context: object, case: Any) -> bool:
    """Not the filters that contradict each other, nor titles that only become short enough without the blanks around
    them, nor cursors and tags that nobody was given, nor parameters that are empty (none) or there several times (the
    last counts), nor a body of blanks (none, where none is needed): all are answered as they should be."""
    query = case.query or {}
    made_up = query.get("cursor") or (case.headers or {}).get("If-Match", "*") != "*"
    several = any(value == "" or isinstance(value, list | tuple | dict) for value in query.values())
    blank = isinstance(case.body, bytes) and not case.body.strip()
    return not (_contradicts(query) or _shortens(case.body) or made_up or several or blank)


@schemathesis.hook
def map_case(_context: object, case: Any) -> Any:
    """Every key is used once: with another task, it would be refused the second time."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[!-~]{1,200}", key):
        case.headers["Idempotency-Key"] = f"{key}-{next(NUMBERS)}"
    return case


def _contradicts(query: dict[str, Any]) -> bool:
    completed, status = str(query.get("completed")).lower(), str(query.get("status")).lower()
    return (completed == "true" and status in ("pending", "active", "incomplete")) or (
        completed == "false" and status in DONE
    )


def _shortens(body: object) -> bool:
    title = body.get("title") if isinstance(body, dict) else None
    return isinstance(title, str) and len(title) > len(title.strip()) and len(title) > 200
