"""Files stay short enough to be read in one go: those of the code, of its tests, and of what runs and measures it."""

from pathlib import Path

from tests.unit.lint.test_source_rules import CHECKOUT

MAX_LINES = 450
PACKAGES = ("libs", "services", "deploy", "bench", "tests")
LONGER: dict[str, str] = {
    "tests/faults/test_faults.py": "one table of all faults, which run on one stack",
}
"""Files that may be longer, each with the reason."""


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def test_no_file_is_too_long() -> None:
    found = {
        name: count
        for package in PACKAGES
        for file in (CHECKOUT / package).rglob("*.py")
        if (count := lines(file)) > MAX_LINES and (name := str(file.relative_to(CHECKOUT))) not in LONGER
    }
    assert found == {}, "divide it by its subjects, or give the reason in LONGER"


def test_no_reason_is_left_over() -> None:
    assert [name for name in LONGER if not (CHECKOUT / name).is_file() or lines(CHECKOUT / name) <= MAX_LINES] == []
