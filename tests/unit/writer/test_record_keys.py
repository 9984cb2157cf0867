"""The entries that records carry for the keys of their tenant: alike, whoever makes them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import Decimal128, ObjectId
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.templates import Template, TemplateField
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.domain.record_keys import KEYS, carries, entries
from tests.unit.writer.checked_batches import CONTACTS, RUN_ID, TENANT_ID, WIDE, checked_batch
from tests.unit.writer.test_record_encoding import documents, rows, wide_rows

WRITTEN_AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)


@dataclass(frozen=True)
class RegisteredKey:
    id: ObjectId
    names: tuple[str, ...]


def key(*names: str) -> RegisteredKey:
    return RegisteredKey(ObjectId(), names)


def combinations(template: Template) -> st.SearchStrategy[list[RegisteredKey]]:
    more = ["created_at", "no_such_field"]
    names = st.sampled_from([*(field.name for field in template.fields), *template.default_values, *more])
    combination = st.lists(names, min_size=1, max_size=3, unique=True).map(lambda some: key(*sorted(some)))
    return st.lists(combination, max_size=14)


@given(st.lists(rows, max_size=12), combinations(CONTACTS))
def test_new_records_carry_what_follows_from_their_fields(
    batch: list[dict[str, Any]], keys: list[RegisteredKey]
) -> None:
    assert_entries(CONTACTS, batch, keys)


@given(st.lists(wide_rows, max_size=12), combinations(WIDE))
def test_of_every_type(batch: list[dict[str, Any]], keys: list[RegisteredKey]) -> None:
    assert_entries(WIDE, [{**row, "extra": {}} for row in batch], keys)


def assert_entries(template: Template, batch: list[dict[str, Any]], keys: list[RegisteredKey]) -> None:
    table = checked_batch(template, batch)
    plain = documents(RecordEncoder(template, RUN_ID, TENANT_ID, WRITTEN_AT), table)
    keyed = documents(RecordEncoder(template, RUN_ID, TENANT_ID, WRITTEN_AT, keys=keys), table)
    for before, after in zip(plain, keyed, strict=True):
        record = bson.decode(before, CODEC)
        found = entries(keys, record)
        assert after == bson.encode({**record, **({KEYS: found} if found else {})}, codec_options=CODEC)


@pytest.mark.parametrize(
    ("value", "has_key"),
    [
        ("", True),
        (0, True),
        (False, True),
        (Decimal128("1.0"), True),
        (1.5, True),
        (WRITTEN_AT, True),
        (DatetimeMS(10**15), True),
        (None, False),
        (["a"], False),
        ({"a": 1}, False),
        (ObjectId(), False),
        (b"a", False),
    ],
    ids=str,
)
def test_which_values_make_a_key(value: object, has_key: bool) -> None:
    one = key("a", "b")
    wanted = [{"s": one.id, "v": ["x", value]}] if has_key else []
    assert entries([one, key("c")], {"a": "x", "b": value}) == wanted


@pytest.mark.parametrize(
    ("entry", "value", "does"),
    [
        (["x"], "x", True),
        (["x"], "y", False),
        (["x"], ["x"], False),
        ([1], 1, True),
        ([1], True, False),
        ([float("nan")], float("nan"), True),
        (None, "x", False),
        (None, None, False),
    ],
)
def test_whether_a_record_carries_what_follows_from_its_fields(entry: object, value: object, does: bool) -> None:
    one = key("a")
    others = [{"s": ObjectId(), "v": ["x"]}]
    held = others if entry is None else [*others, {"s": one.id, "v": entry}]
    assert carries({"a": value, KEYS: held}, one) is does
    assert not carries({"a": value}, one)
    assert not carries({"a": value, KEYS: None}, one)


def test_a_template_without_keyed_fields_writes_as_ever() -> None:
    template = Template(name="t", target_resource="t", fields=(TemplateField(name="a"),))
    table = checked_batch(template, [{"_row": 1, "a": "x"}, {"_row": 2}])
    plain = documents(RecordEncoder(template, RUN_ID, TENANT_ID, WRITTEN_AT), table)
    assert (
        documents(RecordEncoder(template, RUN_ID, TENANT_ID, WRITTEN_AT, keys=[key("b"), key("a", "b")]), table)
        == plain
    )
