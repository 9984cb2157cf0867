"""Which rows of a batch are rejected because their unique values are taken, and those that stay."""

from decimal import Decimal
from typing import Any

from libs.contracts.templates import ImportMode, Template
from services.writer.domain.batch_plan import without_rows
from services.writer.domain.unique_conflicts import split_conflicts
from tests.unit.writer.checked_batches import CONTACTS, checked_batch
from tests.unit.writer.messages import exists, held_by


def keyed_template(mode: ImportMode = ImportMode.UPSERT, message: str | None = None) -> Template:
    """Key ``email``; ``phone`` is unique, and so are ``country`` and ``number`` together."""
    return Template.model_validate(
        {
            "name": "keyed",
            "target_resource": "keyed",
            "mode": mode,
            "upsert_key": "email",
            "fields": [
                {"name": "email"},
                {"name": "phone", "rules": [{"type": "unique", "message": message}]},
                {"name": "country", "rules": [{"type": "unique", "fields": ["number"], "message": message}]},
                {"name": "number", "type": "number", "decimals": 1},
            ],
            "default_values": {"source": "import"},
        }
    )


def split(
    rows: list[dict[str, Any]],
    template: Template,
    taken: dict[tuple[str, ...], dict[tuple[Any, ...], Any]],
    found: set[str] | None = None,
) -> tuple[list[int], dict[int, tuple[str, str]]]:
    """The rows that stay, and field and message of each rejection."""
    table = checked_batch(template, [{"_row": row, **cells} for row, cells in enumerate(rows, start=1)])
    writable, rejected = split_conflicts(table, template, taken, found)
    assert all(error.code == "DUPLICATE_KEY" for error in rejected.values())
    return writable["_row"].to_pylist(), {row: (error.field, error.message) for row, error in rejected.items()}


def test_conflicts_of_an_append() -> None:
    """The upsert key is a field like any other."""
    rows = [{"email": email} for email in ["a", "b", None, "b", None, "c"]]
    stay, rejected = split(rows, keyed_template(ImportMode.APPEND), {("email",): {("a",): {"_id": 1, "email": "a"}}})
    assert stay == [2, 3, 5, 6]
    assert rejected == {
        1: ("email", exists("email 'a'")),
        4: ("email", held_by(2, "email 'b'")),
    }


def test_conflicts_of_several_fields() -> None:
    rows: list[dict[str, Any]] = [
        {"email": "a", "country": "SE", "number": Decimal("1.0")},
        {"email": "b", "country": "NO", "number": Decimal("1.0")},
        {"email": "c", "country": "SE", "number": None},
        {"email": "d", "country": "NO", "number": Decimal("1.0")},
        {"email": "e", "country": None, "number": Decimal("1.0")},
        {"email": "f", "country": "SE", "number": Decimal("2.0")},
    ]
    held = {"_id": 1, "email": "x", "country": "SE", "number": 1}
    stay, rejected = split(rows, keyed_template(), {("country", "number"): {("SE", 1): held}})
    assert stay == [2, 3, 5, 6]
    assert rejected == {
        1: ("country", exists("country 'SE' and number 1.0")),
        4: ("country", held_by(2, "country 'NO' and number 1.0")),
    }


def test_a_row_that_is_rejected_keeps_no_value_from_another() -> None:
    """Row 1 would hold the phone, were it not for its email."""
    rows = [{"email": "a", "phone": "5"}, {"email": "b", "phone": "5"}, {"email": "c", "phone": "5"}]
    template = keyed_template(ImportMode.APPEND)
    stay, rejected = split(rows, template, {("phone",): {}, ("email",): {("a",): {"_id": 1, "email": "a"}}})
    assert stay == [2]
    assert rejected == {
        1: ("email", exists("email 'a'")),
        3: ("phone", held_by(2, "phone '5'")),
    }


def test_a_records_own_values_are_no_conflict() -> None:
    rows = [{"email": "a", "phone": "5"}, {"email": "b", "phone": "6"}]
    taken = {("phone",): {("5",): {"_id": 1, "email": "a"}, ("6",): {"_id": 2, "email": "c"}}}
    assert split(rows, keyed_template(), taken) == (
        [1],
        {2: ("phone", exists("phone '6'"))},
    )


def test_a_row_that_is_not_written_for_its_key_conflicts_with_none() -> None:
    rows = [{"email": "a", "phone": "5"}, {"email": None, "phone": "5"}, {"email": "a", "phone": "5"}]
    assert split(rows, keyed_template(), {("phone",): {}}) == ([1, 2, 3], {})


def test_a_row_that_finds_no_record_conflicts_with_none() -> None:
    """In mode ``update``: row 1 keeps the phone from nobody, and row 3 need not give it up."""
    rows = [{"email": email, "phone": phone} for email, phone in [("x", "5"), ("a", "5"), ("y", "6"), ("b", "6")]]
    taken = {("phone",): {("6",): {"_id": 1, "email": "c"}}}
    template = keyed_template(ImportMode.UPDATE)
    assert split(rows, template, taken, {"a", "b", "c"}) == ([1, 2, 3], {4: ("phone", exists("phone '6'"))})
    assert split(rows, template, taken)[0] == [1]


def test_conflicts_of_a_default_value() -> None:
    rows = [{"email": "a"}, {"email": "b"}]
    assert split(rows, keyed_template(ImportMode.APPEND), {("source",): {}}) == (
        [1],
        {2: ("source", held_by(1, "source 'import'"))},
    )


def test_the_rules_own_message() -> None:
    rows: list[dict[str, Any]] = [{"email": "a", "phone": "5", "country": "SE", "number": 1}] * 2
    template = keyed_template(ImportMode.APPEND, "we know that one")
    assert split(rows, template, {("phone",): {}})[1] == {2: ("phone", "we know that one")}
    # The error belongs to the field that has the rule, in whatever order the key has them.
    assert split(rows, template, {("number", "country"): {}})[1] == {2: ("country", "we know that one")}
    assert split(rows, template, {("country",): {}})[1] == {2: ("country", held_by(1, "country 'SE'"))}


def test_a_message_shows_the_beginning_of_a_long_value() -> None:
    _, rejected = split([{"phone": "5" * 1000}] * 2, keyed_template(ImportMode.APPEND), {("phone",): {}})
    assert rejected == {2: ("phone", held_by(1, f"phone '{'5' * 200}…'"))}


def test_rows_that_are_left_out() -> None:
    table = checked_batch(CONTACTS, [{"_row": 3}, {"_row": 5}, {"_row": 9}])
    assert without_rows(table, {5, 7})["_row"].to_pylist() == [3, 9]
