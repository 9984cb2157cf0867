"""Rows that ask for their record to be deleted."""

from typing import Any

import pytest

from libs.contracts.errors import PermanentError
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RowErrorCode
from libs.contracts.templates import FieldType, ImportMode, InvalidRows, MinLength, Required, TemplateField, Unique
from services.validator.domain.checking import CheckedBatch, check_batch
from services.validator.domain.compilation import CompiledTemplate, compile_template
from services.validator.domain.duplicates import resolve_duplicates, without_lost
from tests.unit.validator.batches import errors, parsed_batch, rejected, template

FIELDS = (
    TemplateField(name="sku", type=FieldType.NUMBER),
    TemplateField(name="email", type=FieldType.EMAIL, rules=(Required(), Unique())),
    TemplateField(name="note"),
)


def deleting(*fields: TemplateField, **more: Any) -> CompiledTemplate:  # noqa: ANN401 - members of a template
    """A template whose fields are the file's columns in order, and then the one that marks records to delete."""
    names = [field.name for field in fields]
    upsert = template(*fields, mode=ImportMode.UPSERT, upsert_key=fields[0].name, delete_column="gone", **more)
    plan = ParsePlan(
        columns=(*names, "gone"), mapping={name: at for at, name in enumerate(names)}, delete_column=len(names)
    )
    return compile_template(upsert, plan)


def checked(*rows: tuple[str | None, ...], **more: Any) -> CheckedBatch:  # noqa: ANN401 - members of a template
    """Rows of ``sku``, ``email``, ``note`` and ``gone``."""
    return check_batch(deleting(*FIELDS, **more), parsed_batch(*zip(*rows, strict=True)))


def kept_and_deleted(batch: CheckedBatch) -> tuple[list[int], list[int]]:
    assert batch.deletions is not None
    return batch.valid["_row"].to_pylist(), batch.deletions["_row"].to_pylist()


@pytest.mark.parametrize(
    ("cell", "deletes"),
    [
        *((cell, True) for cell in ("true", "1", "yes", "delete", "on", "ja", "y", " Delete ", "TRUE", "DELETE")),
        *((cell, False) for cell in ("", None, "  ", "false", "0", "no", "off", "nej", "n", "No", "n/a", "-")),
    ],
)
def test_what_the_column_says(cell: str | None, deletes: bool) -> None:
    batch = checked(("1", "a@example.com", "x", cell))
    assert kept_and_deleted(batch) == (([], [1]) if deletes else ([1], []))
    assert not batch.rejected


@pytest.mark.parametrize("cell", ["maybe", "deleted", "x", "2", "remove"])
@pytest.mark.parametrize("invalid_rows", InvalidRows)
def test_what_is_not_clear_is_rejected_whatever_the_template_does_with_invalid_rows(
    cell: str, invalid_rows: InvalidRows
) -> None:
    batch = checked(("1", "a@example.com", "x", cell), invalid_rows=invalid_rows)
    assert kept_and_deleted(batch) == ([], [])
    (error,) = errors(batch)
    assert (error.field, error.column, error.code, error.value) == (None, "gone", RowErrorCode.UNCLEAR_DELETION, cell)
    assert "delete" in error.message
    assert "nothing to keep it" in error.message


def test_of_a_row_that_deletes_only_the_key_is_checked() -> None:
    batch = checked(
        ("1", "", "x", "delete"), ("2", "no address", "x", "yes"), ("one", "", "x", "1"), ("", "", "", "true")
    )
    assert kept_and_deleted(batch) == ([], [1, 2])
    assert {row.row: [error.code for error in row.errors] for row in rejected(batch)} == {
        3: ["NOT_A_NUMBER"],
        4: ["REQUIRED"],
    }
    assert batch.deletions is not None
    assert batch.deletions.column_names == ["_row", "_int_sku", "sku"]


def test_rules_of_the_key_hold_for_deletions() -> None:
    fields = (TemplateField(name="sku", rules=(MinLength(value=3),)), TemplateField(name="note"))
    batch = check_batch(deleting(*fields), parsed_batch(["ab", "abc"], ["", ""], ["yes", "yes"]))
    assert kept_and_deleted(batch) == ([], [2])


def test_a_template_that_keeps_invalid_rows_deletes_without_a_warning() -> None:
    rows = [("1", "no address", "x", "yes"), ("2", "no address", "x", ""), ("x", "", "x", "yes")]
    batch = checked(*rows, invalid_rows=InvalidRows.KEEP)
    assert kept_and_deleted(batch) == ([2], [1])
    assert (batch.warnings, [row.row for row in rejected(batch)]) == (1, [3])


def test_a_row_that_deletes_keeps_no_value_from_others_but_competes_for_its_key() -> None:
    compiled = deleting(*FIELDS)
    cells = [
        ("1", "a@example.com", "", "yes"),
        ("2", "a@example.com", "", ""),
        ("3", "b@example.com", "", ""),
        ("3", "", "", "yes"),
        ("4", "", "", "yes"),
        ("4", "d@example.com", "", ""),
        ("5", "", "", "yes"),
        ("5", "", "", "delete"),
    ]
    batch = check_batch(compiled, parsed_batch(*zip(*cells, strict=True)))
    assert kept_and_deleted(batch) == ([2, 3, 6], [1, 4, 5, 7, 8])
    keys = batch.keys
    assert keys is not None
    (resolution,) = resolve_duplicates(compiled, lambda: [(0, keys)], len(cells)).values()
    assert resolution.rejected_rows.tolist() == []
    assert resolution.superseded.tolist() == [3, 5, 7]
    assert batch.deletions is not None
    assert without_lost(batch.deletions, resolution)["_row"].to_pylist() == [1, 4, 8]


def test_a_template_without_such_a_column_has_no_deletions() -> None:
    upsert = template(*FIELDS, mode=ImportMode.UPSERT, upsert_key="sku")
    plan = ParsePlan(mapping={"sku": 0, "email": 1, "note": 2})
    batch = check_batch(compile_template(upsert, plan), parsed_batch(["1"], ["a@example.com"], ["yes"]))
    assert batch.deletions is None


def test_a_plan_of_a_release_that_knows_no_deletions_is_refused_by_name() -> None:
    upsert = template(*FIELDS, mode=ImportMode.UPSERT, upsert_key="sku", delete_column="gone")
    with pytest.raises(PermanentError, match="MODE_NOT_SUPPORTED"):
        compile_template(upsert, ParsePlan(mapping={"sku": 0, "email": 1, "note": 2}))
