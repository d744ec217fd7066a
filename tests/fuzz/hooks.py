"""Hooks for schemathesis: rules that OpenAPI cannot express."""

import re
from itertools import count
from typing import Any

import schemathesis

NUMBERS = count()
DONE = ("complete", "completed")


@schemathesis.hook
def filter_case(_context: object, case: Any) -> bool:
    """Skips requests that are valid or invalid by rules beyond the schema: contradictory filters; titles that are short
    enough only after stripping; invented cursors and ETags; writes with If-None-Match (412 if it matches); parameters
    that are empty (count as absent) or repeated (the last counts); a body of whitespace (counts as absent where it is
    optional)."""
    query = case.query or {}
    headers = case.headers or {}
    invented = query.get("cursor") or headers.get("If-Match", "*") != "*"
    conditional = case.method not in ("GET", "HEAD") and "If-None-Match" in headers
    repeated = any(value == "" or isinstance(value, list | tuple | dict) for value in query.values())
    blank = isinstance(case.body, bytes) and not case.body.strip()
    return not (_contradicts(query) or _shortens(case.body) or invented or conditional or repeated or blank)


@schemathesis.hook
def map_case(_context: object, case: Any) -> Any:
    """Makes every idempotency key unique: reuse with a different task is refused."""
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
