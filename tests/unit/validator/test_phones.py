"""Which texts are phone numbers, and how they are written in one form."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import TemplateField
from services.validator.domain.phones import is_phone, normalised
from services.validator.domain.reading import Reading
from tests.unit.validator.conversions import converted, result

BAD = ["INVALID_PHONE"]


def phone(**more: object) -> TemplateField:
    return TemplateField.model_validate({"name": "f", "type": "phone", **more})


@pytest.mark.parametrize(
    ("region", "text", "valid"),
    [
        ("US", "650 253 0000", True),
        ("US", "(650) 253-0000", True),
        ("US", "650.253.0000", True),
        ("US", "6502530000", True),
        ("US", "1-650-253-0000", True),
        ("US", "+1 650 253 0000", True),
        ("US", "+1 (650) 253-0000", True),
        ("US", "(555) 555-0100", True),
        ("US", "555-555-0100", True),
        ("US", "650-253-0000 x123", True),
        ("US", "650-253-0000 ext. 123", True),
        ("US", "+1 650 253 0000;ext=12", True),
        ("US", "tel:+1-650-253-0000", True),
        ("US", "650\u2011253\u20110000", True),
        ("US", "650\u00a0253\u00a00000", True),
        ("US", "+44 20 8366 1177", True),
        ("US", "+46 70-123 45 67", True),
        ("GB", "020 8366 1177", True),
        ("SE", "070-123 45 67", True),
        ("SE", "0046 70 123 45 67", True),
        ("DE", "030/901820", True),
        ("AU", "0011 44 20 8366 1177", True),
        ("ZZ", "+1 650 253 0000", True),
        ("ZZ", "650 253 0000", False),
        ("US", "555-0100", False),
        ("US", "911", False),
        ("US", "12345", False),
        ("US", "1234567890123456", False),
        ("US", "2024-03-31", False),
        ("US", "+999 123456789", False),
        ("US", "+", False),
        ("US", "++1 650 253 0000", False),
        ("US", "650 253 0000 or 650 253 0001", False),
        ("US", "call 650 253 0000", False),
        ("US", "650 253 0000 (home)", False),
        ("US", "1-800-FLOWERS", False),
        ("US", "\uff16\uff15\uff10 253 0000", False),
        ("US", "650 253 0000 x", False),
        ("US", "name@example.com", False),
        ("US", "6502530000" + " " * 100 + "x1", False),
        ("US", "-6502530000", False),
    ],
)
def test_phones(region: str, text: str, valid: bool) -> None:
    assert result(phone(region=region), text) == (text if valid else BAD)


def test_the_region_is_the_fields_else_the_templates() -> None:
    assert result(phone(), "070-123 45 67", Reading(default_region="SE")) == "070-123 45 67"
    assert result(phone(region="US"), "070-123 45", Reading(default_region="SE")) == BAD
    assert "dialled in SE" in converted(phone(region="SE"), "x")[0].messages[0]


def test_every_row_of_a_batch_on_its_own() -> None:
    texts = ["650 253 0000", "x", None, "650 253 0000", "", "123", "+44 20 8366 1177"]
    found = converted(phone(), *texts)
    assert [each.codes or each.value for each in found] == [
        "650 253 0000", BAD, None, "650 253 0000", None, BAD, "+44 20 8366 1177",
    ]  # fmt: skip


def normal(region: str, *texts: str | None) -> list[str | None]:
    frame = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
    return frame.select(normalised(pl.col("text"), region))["text"].to_list()


@pytest.mark.parametrize(
    ("region", "text", "value"),
    [
        ("US", "6502530000", "(650) 253-0000"),
        ("US", "+1 650.253.0000", "(650) 253-0000"),
        ("US", "1-650-253-0000", "(650) 253-0000"),
        ("US", "5555550100", "(555) 555-0100"),
        ("US", "6502530000x12", "(650) 253-0000 ext. 12"),
        ("US", "+442083661177", "+44 20 8366 1177"),
        ("US", "+46701234567", "+46 70 123 45 67"),
        ("US", "+1 242 365 1234", "(242) 365-1234"),
        ("GB", "+442083661177", "020 8366 1177"),
        ("SE", "+46 701234567", "070-123 45 67"),
        ("SE", "0701234567", "070-123 45 67"),
        ("SE", "+1 650 253 0000", "+1 650-253-0000"),
        ("US", "555-0100", "555-0100"),
        ("US", "call me", "call me"),
        ("US", "", ""),
        ("US", None, None),
    ],
)
def test_normalised(region: str, text: str | None, value: str | None) -> None:
    assert normal(region, text) == [value]


@given(st.sampled_from(["US", "GB", "SE", "DE", "IT", "AR", "MX", "RU", "BR"]), st.from_regex(r"\A[+]?[0-9]{5,15}\Z"))
def test_normalising_twice_changes_nothing_more(region: str, text: str) -> None:
    once = normal(region, text)
    assert normal(region, *once) == once


@given(st.sampled_from(["US", "GB", "SE", "DE", "IT", "AR", "MX", "RU", "BR"]), st.from_regex(r"\A[+]?[0-9]{5,15}\Z"))
def test_a_normalised_phone_is_still_one(region: str, text: str) -> None:
    frame = pl.DataFrame({"text": [text, *normal(region, text)]})
    before, after = frame.select(is_phone(pl.col("text"), region))["text"]
    assert before == after
