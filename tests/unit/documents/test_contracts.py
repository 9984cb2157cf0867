"""The pages that say which test holds which part of a reference name all of these tests, and none that there is not."""

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
PAGES = {
    "docs/contract-importers.md": "tests/contract/test_importers.py",
    "docs/contract-rowporter.md": "tests/contract/test_rowporter.py",
}


def names_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    return {each.name for each in functions if each.name.startswith("test_")}


@pytest.mark.parametrize("page", PAGES)
def test_every_test_of_a_contract_stands_in_its_page(page: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (CHECKOUT / page).read_text(encoding="utf-8")))
    own = names_in(CHECKOUT / PAGES[page])
    everywhere = {name for file in (CHECKOUT / "tests").rglob("test_*.py") for name in names_in(file)}
    assert own <= named
    assert named <= everywhere
