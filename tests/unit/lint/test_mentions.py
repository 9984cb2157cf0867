"""What comments, docstrings and documents speak of can be found in the repository."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from tests.unit.lint.test_source_rules import CHECKOUT, tracked_files

ELSEWHERE = tuple(
    pattern.replace("·", "")  # so that this file itself passes
    for pattern in (
        r"\bDES·IGN\b",
        r"(?i)\bseed·s? 00\d",
        r"\bfac·ts/",
        r"(?i)\bissue·s? #?\d",
        r"(?i)\bcase·s? [A-H]\d{1,2}\b",
        r"\([A-H]·\d{1,2}\)",
    )
)
"""How documents that are not here, and cases of lists that are not here, are mentioned."""
TEXTS = frozenset({".py", ".md", ".toml", ".yaml", ".yml", ".sh", ""})

NAME = re.compile(r"``([A-Za-z_]\w*(?:\.\w+)+|[A-Za-z]\w*_\w+)(?:\(\))?``")
"""What can only be a name: dotted, or with an underscore."""
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OF_OTHERS = frozenset({
    "is_global",  # ipaddress
    "error_codes", "yml",  # MongoDB
    "conformance",  # of formats
})  # fmt: skip
"""Names in docstrings that are no names of this repository."""


@dataclass(frozen=True)
class Source:
    """What a Python file says, and the words that its code consists of."""

    prose: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    words: set[str] = field(default_factory=set[str])


def read(text: str) -> Source:
    """Comments and docstrings with their lines; every name, and every word of other strings."""
    source = Source()
    docstrings = {
        statement.value.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    }
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and line in docstrings):
            source.prose.append((line, token.string))
        elif token.type in {tokenize.NAME, tokenize.STRING}:
            source.words.update(WORD.findall(token.string))
    return source


@cache
def sources() -> dict[Path, Source]:
    """Every Python file of the repository."""
    files = (file for file in tracked_files() if file.suffix == ".py")
    return {file: read(file.read_text(encoding="utf-8")) for file in files}


def unknown_names(prose: str, words: set[str]) -> Iterator[str]:
    """Names in double backticks of which a part is not among ``words``."""
    for found in NAME.finditer(prose):
        parts = set(found[1].strip(".").split("."))
        settings = {part for part in parts if part.lower().removeprefix("rowdock_") in words and part.isupper()}
        if not parts <= words | settings | OF_OTHERS:
            yield found[1]


def test_no_document_is_mentioned_that_is_not_here() -> None:
    found: list[str] = []
    for file in tracked_files():
        if file.suffix in TEXTS:
            for number, line in enumerate(file.read_bytes().decode("utf-8", "replace").split("\n"), 1):
                found += [f"{file.relative_to(CHECKOUT)}:{number}: {line.strip()}"] if mentions_elsewhere(line) else []
    assert found == [], "say what it says, or name a document of this repository"


def mentions_elsewhere(line: str) -> bool:
    """Whether a line speaks of what a reader of the repository does not have."""
    return any(re.search(pattern, line) for pattern in ELSEWHERE)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("(DES·IGN section 3)", True),
        ("the engine's words (seed·s 002)", True),
        ("see fac·ts/measured.md", True),
        ("as issu·e 8 says", True),
        ("encodings, case·s B4 to B6", True),
        ("the abuse cases of JSON files (B·14)", True),
        ("Hypothesis seeds its random numbers", False),
        ("by design", False),
        ("in any case A is meant", False),
        ("(RFC 9110 section 10.2.3)", False),
    ],
)
def test_such_mentions_are_found(line: str, *, expected: bool) -> None:
    assert mentions_elsewhere(line.replace("·", "")) is expected


def test_names_in_docstrings_and_comments_are_names_of_the_code() -> None:
    modules = {part.removesuffix(".py") for file in sources() for part in file.relative_to(CHECKOUT).parts}
    words = modules.union(*(source.words for source in sources().values()))
    found = [
        f"{file.relative_to(CHECKOUT)}:{line}: {name}"
        for file, source in sources().items()
        for line, prose in source.prose
        for name in unknown_names(prose, words)
    ]
    assert found == [], "the name is gone, or misspelt"


def test_names_that_are_gone_are_found() -> None:
    source = read(
        '"""Calls ``is_gone`` and ``kept.too``, sets ``ROWDOCK_KEPT``."""\nkept = "too"  # ``gone_too()`` as well\n'
    )
    names = [name for _, prose in source.prose for name in unknown_names(prose, source.words)]
    assert names == ["is_gone", "gone_too"]
