"""Which texts are phone numbers, and how they are written in one form."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import NormalizePhone, TemplateField
from services.validator.domain.phones import is_phone, normalised
from services.validator.domain.reading import Reading
from tests.unit.validator.batches import outcome
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
        ("US", "\uff16\uff15\uff10 253 0000", True),
        ("US", "650 253 0000 x", False),
        ("US", "name@example.com", False),
        ("US", "6502530000" + " " * 100 + "x1", False),
        ("US", "-6502530000", False),
    ],
)
def test_phones(region: str, text: str, valid: bool) -> None:
    assert result(phone(region=region), text) == (text if valid else BAD)


@pytest.mark.parametrize(
    ("region", "text", "stored"),
    [
        ("SE", "\u202a+46 70 174 06 05\u202c", "+46 70 174 06 05"),
        ("SE", "\u202d0701740606\u202c", "0701740606"),
        ("SE", "070-174\u00a006\u00a007", "070-174\u00a006\u00a007"),
        ("SE", "+46701740608\u200b", "+46701740608"),
        ("SE", "\ufeff\u200e+46 70 174 06 05", "+46 70 174 06 05"),
        ("SE", "+46 (0)70 174 06 05", "+46 (0)70 174 06 05"),
        ("SE", "+46 (0) 70-174 06 05", "+46 (0) 70-174 06 05"),
        ("GB", "+44 (0)20 7946 0958", "+44 (0)20 7946 0958"),
        ("GB", "(020) 7946 0958", "(020) 7946 0958"),
        ("DE", "+49 (0) 30 / 90 18 20", "+49 (0) 30 / 90 18 20"),
        ("DE", "0049 30 901820", "0049 30 901820"),
        ("DE", "(030) 901820", "(030) 901820"),
        ("DE", "030-901820-0", "030-901820-0"),
        ("FR", "01.42.68.53.00", "01.42.68.53.00"),
        ("FR", "01 42 68 53 00", "01 42 68 53 00"),
        ("ES", "91 123 45 67", "91 123 45 67"),
        ("IT", "06 6982", "06 6982"),
        ("PT", "21 123 4567", "21 123 4567"),
        ("NL", "020-624 1111", "020-624 1111"),
        ("JP", "03-1234-5678", "03-1234-5678"),
        ("JP", "\uff10\uff13\uff0d\uff11\uff12\uff13\uff14\uff0d\uff15\uff16\uff17\uff18",
         "\uff10\uff13\uff0d\uff11\uff12\uff13\uff14\uff0d\uff15\uff16\uff17\uff18"),
        ("JP", "03\u30fc1234\u30fc5678", "03\u30fc1234\u30fc5678"),
        ("CN", "010-8888 8888", "010-8888 8888"),
        ("KR", "02-312-3456", "02-312-3456"),
        ("US", "+1 [650] 253-0000", "+1 [650] 253-0000"),
        ("US", "650.253.0000 int 12", "650.253.0000 int 12"),
        ("ES", "911234567 extensi\u00f3n 12", "911234567 extensi\u00f3n 12"),
        ("US", "650\u2013253\u20130000", "650\u2013253\u20130000"),
        ("US", "650\u2003253\u30000000", "650\u2003253\u30000000"),
        ("SE", "46701740605.0", "46701740605.0"),
        ("SE", "N/A", None),
        ("SE", "-", None),
    ],
)  # fmt: skip
def test_phones_as_people_write_them(region: str, text: str, stored: str | None) -> None:
    assert outcome(phone(region=region), text) == stored


@pytest.mark.parametrize(
    ("region", "text"),
    [
        ("SE", "070-174 06 09 / 070-174 06 10"),
        ("SE", "070-174 06 09/070-174 06 10"),
        ("SE", "070-174 06 09, 070-174 06 10"),
        ("SE", "0701740609;0701740610"),
        ("SE", "070-174 06 09\n070-174 06 10"),
        ("SE", "070-174 06 09 eller 070-174 06 10"),
        ("DE", "040-12345 / 040-54321"),
        ("DE", "040 1234567/68"),
        ("DE", "040 1234567 oder 0171 1234567"),
        ("US", "650 253 0000 or 650 253 0001"),
        ("US", "+1 650 253 0000 & +1 650 253 0001"),
        ("US", "650-253-0000   650-253-0001"),
        ("US", "(650) 253-0000 | (650) 253-0001"),
    ],
)
def test_several_numbers_are_an_error_that_says_so(region: str, text: str) -> None:
    found = converted(phone(region=region), text)[0]
    assert found.codes == BAD
    assert "several phone numbers" in found.messages[0]
    assert outcome(phone(region=region, transforms=[NormalizePhone(region=region)]), text) == BAD


@pytest.mark.parametrize("text", ["650 253 0000 (home)", "12", "call me", "650 253 0000 x", "2024-03-31", "1/2", ", "])
def test_other_texts_are_not_several_numbers(text: str) -> None:
    found = converted(phone(region="US"), text)[0]
    assert found.codes == BAD
    assert "several" not in found.messages[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("\u202a+46 70 174 06 05\u202c", "070-174 06 05"),
        ("\u202d0701740606\u202c", "070-174 06 06"),
        ("070-174\u00a006\u00a007", "070-174 06 07"),
        ("+46701740608\u200b", "070-174 06 08"),
        ("+46 (0)70 174 06 08", "070-174 06 08"),
        ("0046701740608", "070-174 06 08"),
        ("46701740608", "070-174 06 08"),
        ("46701740608.0", "070-174 06 08"),
        ("\uff10\uff17\uff10 1740608", "070-174 06 08"),
        ("701740608", "070-174 06 08"),
        ("+44 20 7946 0958", "+44 20 7946 0958"),
        ("08-123 456 x12", "08-12 34 56 ext. 12"),
        ("call me", BAD),
    ],
)
def test_one_number_has_one_normalised_form(text: str, value: object) -> None:
    assert outcome(phone(region="SE", transforms=[NormalizePhone(region="SE")]), text) == value


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
