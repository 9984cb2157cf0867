"""The codes of rows and runs stand in one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.contracts.reasons import RowErrorCode, RunErrorCode, SkipReason

ROOT = Path(__file__).parents[3]
CARRIES_A_RUN_CODE = {"PermanentError", "FileRefusedError"}
OF_NO_RUN = {"FORBIDDEN_TRANSITION", "NOT_A_REPLICA_SET", "WRONG_STATE", "UNAUTHORIZED_REQUEST", "UNKNOWN_TENANT"}
"""Mistakes of a program or an installation, what a bulk correction ends with, and messages that make no run: no run
carries them."""


@pytest.mark.parametrize("codes", [SkipReason, RowErrorCode, RunErrorCode])
def test_a_code_has_one_spelling(codes: type[SkipReason | RowErrorCode | RunErrorCode]) -> None:
    assert [code.name for code in codes] == [code.value for code in codes]


def literal_codes() -> Iterator[tuple[str, str]]:
    """Codes that are spelled out where an error is raised, and the modules that do."""
    for path in [*ROOT.glob("libs/**/*.py"), *ROOT.glob("services/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in CARRIES_A_RUN_CODE
                and isinstance(code := next(iter(node.args), None), ast.Constant)
            ):
                yield str(code.value), str(path.relative_to(ROOT))


def test_no_run_fails_with_a_code_that_is_not_told_here() -> None:
    unknown = {code: path for code, path in literal_codes() if code not in {*RunErrorCode, *OF_NO_RUN}}
    assert unknown == {}
