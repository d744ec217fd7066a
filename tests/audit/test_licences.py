"""Every installed package may be used and distributed with this one."""

import re
from email.message import Message
from importlib.metadata import distributions
from typing import cast

import pytest

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "LGPL-3.0-only",  # psycopg: imported as it is, and whoever receives an installation can replace it
    "MIT",
    "MIT-0",
    "MPL-2.0",  # asks for the source of changed files; nothing is changed
    "PSF-2.0",
    "Unlicense",
}

OLD_NAMES = {  # in classifiers and in the field License, from before SPDX expressions
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}


def licences(metadata: Message) -> set[str]:
    """SPDX identifiers of all licences that a package names, also where it leaves a choice."""
    if expression := metadata.get("License-Expression"):
        return {*re.split(r"[\s()]+|\bAND\b|\bOR\b", expression)} - {""}
    names = [each for each in metadata.get_all("Classifier", []) if each.startswith("License ::")]
    stated = [name.rpartition(" :: ")[2] for name in names] or [metadata.get("License") or "none stated"]
    return {OLD_NAMES.get(name, name) for name in stated}


def installed() -> dict[str, set[str]]:
    """The licences of every installed package."""
    return {each.metadata["Name"]: licences(cast("Message", each.metadata)) for each in distributions()}


def test_every_installed_package_has_a_licence_that_is_allowed() -> None:
    assert {"fastapi", "psycopg", "pytest", "todo-backend"} <= {*installed()}
    assert {name: names - ALLOWED for name, names in installed().items() if names - ALLOWED} == {}


def test_only_psycopg_is_under_the_lgpl() -> None:
    found = {name for name, names in installed().items() if "LGPL-3.0-only" in names}
    assert found == {"psycopg", "psycopg-binary"}


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("License-Expression", "MPL-2.0 AND (Apache-2.0 OR MIT)", {"MPL-2.0", "Apache-2.0", "MIT"}),
        ("Classifier", "License :: OSI Approved :: BSD License", {"BSD-3-Clause"}),
        ("License", "GPLv3", {"GPLv3"}),
        ("Keywords", "none", {"none stated"}),
    ],
)
def test_licences_are_read_wherever_they_are_stated(field: str, value: str, expected: set[str]) -> None:
    metadata = Message()
    metadata[field] = value
    assert licences(metadata) == expected
