"""CORS origins: exact ones, and patterns for the preview deployments of one project."""

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from entrypoints.setting_types import origin

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

MIN_LITERAL = 4
"""Letters and digits beside the `*` of a label that anybody can register, such as a name below vercel.app."""

ANY_PORT = ":*"
"""In place of an origin's port, any. Not for settings."""

_ANY = "x-any-x"  # stands for the `*` while the rest of the URL is checked


def cors_origin(url: str) -> str:
    """The origin as browsers serialise it, or a pattern: an origin with one `*` in the first label of its host.

    Raises ValueError unless the `*` is bound to one project: https only, within one label, and not all of a label that
    anybody can register (the Public Suffix List knows which those are).
    """
    if not is_pattern(url):
        return origin(url)
    if url == "*":
        raise ValueError(
            "`*` is refused, because browsers reject it for requests with credentials: "
            "list the origins of your pages, like https://app.example.com"
        )
    host = origin(url.replace("*", _ANY)).removeprefix("https://").partition(":")[0]
    label, _, parent = host.partition(".")
    if url.count("*") > 1 or _ANY not in label:
        raise ValueError("a pattern has one `*`, in the first label of the host, like https://todo-*-team.vercel.app")
    if not url.lower().startswith("https://"):
        raise ValueError("a pattern must begin with https://")
    _require_project(label.replace(_ANY, ""), parent)
    return origin(url.replace("*", _ANY)).replace(_ANY, "*")


def is_pattern(origin: str) -> bool:
    return "*" in origin


def regular_expression(origins: Sequence[str]) -> str | None:
    """Of all origins that are patterns; None if there are none. `*` matches what a label may contain, and so no dot."""
    return "|".join(_of_pattern(each) for each in origins if is_pattern(each)) or None


def _of_pattern(pattern: str) -> str:
    if pattern.endswith(ANY_PORT):
        return re.escape(pattern.removesuffix(ANY_PORT)) + "(:[0-9]{1,5})?"
    return "[a-z0-9-]+".join(map(re.escape, pattern.split("*")))


def _require_project(literal: str, parent: str) -> None:
    """`literal`: what the first label has besides the `*`. `parent`: the other labels."""
    if not parent:
        raise ValueError("a pattern needs a domain after its first label, like https://todo-*-team.vercel.app")
    if not _is_suffix(parent, only_icann=False):
        return  # below a domain of one's own
    if _is_suffix(parent, only_icann=True):
        raise ValueError("the `*` covers the registrable domain: anybody can register a name that matches")
    if len(re.sub("[^a-z0-9]", "", literal)) < MIN_LITERAL:
        raise ValueError(
            "the `*` covers projects of other people: name yours in the same label, like https://todo-*-team.vercel.app"
        )


def _is_suffix(domain: str, *, only_icann: bool) -> bool:
    """Whether anybody may register names directly below the domain: at a registry, or also at a hosting provider."""
    return _public_suffix_list(only_icann).is_public(domain)


@cache
def _public_suffix_list(only_icann: bool) -> "PublicSuffixList":
    from publicsuffixlist import PublicSuffixList  # imported and read where there is a pattern: 0.1 s

    return PublicSuffixList(only_icann=only_icann)
