"""References in the documentation: links, anchors, names of tests and paths of files exist."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
DOCUMENTS = [*(ROOT / name for name in TOP), *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = (
    "adapters",
    "application",
    "benchmarks",
    "clients",
    "deploy",
    "docs",
    "domain",
    "entrypoints",
    "examples",
    "tests",
)
NOT_FILES = {"application/json", "entrypoints/http/contracts/todos.py"}  # the latter is for the reader to create

ON_GITHUB = "../../security/advisories/new"  # a page of the repository, relative to its files

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def prose(document: Path) -> str:
    """The text without fenced code blocks."""
    return re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)


def links(document: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", prose(document))
    return [link for link in found if not re.match(r"[a-z]+:", link) and link != ON_GITHUB]


def code_spans(document: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(document))


def paths(document: Path) -> list[str]:
    """Code spans that are paths in this repository. Decision records that are superseded may name files of the past."""
    if document.parent.name == "decisions" and "superseded by" in prose(document).lower():
        return []
    spans = [span for span in code_spans(document) if span.partition("/")[0] in FOLDERS and span not in NOT_FILES]
    return [span for span in spans if re.fullmatch(r"[\w.-]+/[\w./-]*(::.*)?", span)]


def names_of_tests(document: Path) -> list[str]:
    return [name for span in code_spans(document) for name in re.findall(r"\b(?:test_|Test[A-Z])\w+", span)]


def anchors(document: Path) -> set[str]:
    """The anchors of the headings, as GitHub derives them: lower case, hyphens for spaces, no punctuation."""
    titles = re.findall(r"^#+ (.*)$", prose(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", title)).lower().replace(" ", "-") for title in titles}


def resolves(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = document.parent / unquote(path) if path else document
    return target.exists() and (not anchor or anchor in anchors(target))


def exists(reference: str) -> bool:
    """A path, or `path::test`."""
    path, _, test = reference.partition("::")
    return (ROOT / path).exists() and (not test or test.partition("[")[0] in (ROOT / path).read_text())


@each_document
def test_relative_links_and_anchors_resolve(document: Path) -> None:
    assert [link for link in links(document) if not resolves(document, link)] == []


@each_document
def test_named_paths_exist(document: Path) -> None:
    assert [path for path in paths(document) if not exists(path)] == []


@each_document
def test_named_tests_exist(document: Path) -> None:
    assert [name for name in names_of_tests(document) if name not in existing_tests()] == []


@cache
def existing_tests() -> set[str]:
    files = [*(ROOT / "tests").rglob("*.py")]
    names = {name for file in files for name in re.findall(r"(?:def|class) (\w+)", file.read_text())}
    return names | {file.stem for file in files}


def test_the_documentation_contains_references_of_every_kind() -> None:
    """Otherwise the tests above would check nothing."""
    assert len([link for document in DOCUMENTS for link in links(document) if "#" in link]) > 5
    assert len([path for document in DOCUMENTS for path in paths(document)]) > 30
    assert len([name for document in DOCUMENTS for name in names_of_tests(document)]) > 100


@each_document
def test_named_make_targets_exist(document: Path) -> None:
    targets = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:`|^|\$ )make ([a-z][\w-]*)", document.read_text(), re.MULTILINE)
    assert [target for target in named if target not in targets] == []


def excerpts(document: Path) -> list[tuple[Path, str]]:
    """Code blocks of a document, each with the file of `examples/` that the sentence before it links to."""
    pattern = r"\]\(([^)\s]*/examples/[^)\s]+)\)[^\n]*:\n\n```\w+\n(.*?)^```"
    found = re.findall(pattern, document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [(document.parent / unquote(path), code) for path, code in found]


@each_document
def test_excerpts_of_the_examples_are_what_the_files_contain(document: Path) -> None:
    assert [code for file, code in excerpts(document) if code not in file.read_text()] == []


def test_every_file_of_the_example_with_logic_is_explained() -> None:
    explained = {file.name for document in DOCUMENTS for file, _ in excerpts(document)}
    assert {"auth.ts", "api.tsx", "tasks.ts", "page.tsx", "route.ts", "instrumentation.ts"} <= explained
