"""The entries that records carry for the keys of their tenant: alike, whoever makes them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import bson
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from bson import Decimal128, ObjectId
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.record_keys import KEYS, SPELLED, key_entry, key_value
from libs.contracts.templates import Template, TemplateField
from services.writer.domain.batch_plan import plan_batch
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.domain.record_keys import carried, entries
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
        (ObjectId(b"an object id"), False),
        (b"a", False),
    ],
    ids=str,
)
def test_which_values_make_a_key(value: object, has_key: bool) -> None:
    one = key("a", "b")
    wanted = [{"s": one.id, "a": "x", "b": value}] if has_key else []
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
    others = [{"s": ObjectId(), "a": "x"}]
    held = others if entry is None else [*others, key_entry(one.id, entry)]
    assert (carried({"a": value, KEYS: held}, one) is not None) is does
    assert carried({"a": value}, one) is None
    assert carried({"a": value, KEYS: None}, one) is None


def test_a_template_without_keyed_fields_writes_as_ever() -> None:
    template = Template(name="t", target_resource="t", fields=(TemplateField(name="a"),))
    table = checked_batch(template, [{"_row": 1, "a": "x"}, {"_row": 2}])
    plain = documents(RecordEncoder(template, RUN_ID, TENANT_ID, WRITTEN_AT), table)
    assert (
        documents(RecordEncoder(template, RUN_ID, TENANT_ID, WRITTEN_AT, keys=[key("b"), key("a", "b")]), table)
        == plain
    )


EMAIL, NAME, BOTH = key("email"), key("name"), key("age", "name")
ANA = {"_id": "1", "email": "a@example.com", "name": "Ana", "age": 30}


def planned(record: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """What an upsert changes of a record, with three keys registered."""
    table = checked_batch(CONTACTS, [{"_row": 1, **row}])
    keys = [BOTH, EMAIL, NAME]
    existing = {"a@example.com": record}
    plan = plan_batch(table, existing, CONTACTS, ["email", "name", "age"], RUN_ID, WRITTEN_AT, keys=keys)
    (update,) = plan.updates
    assert update.before is not None
    assert KEYS not in update.before.restore
    assert KEYS not in update.before.remove
    return update.changes


def test_a_change_of_a_key_changes_the_entries() -> None:
    held = [BOTH, EMAIL, NAME]
    record = {**ANA, **CONTACTS.default_values, KEYS: entries(held, ANA)}
    changes = planned(record, {"email": "a@example.com", "name": "Bo", "age": 30})
    assert changes[KEYS] == entries(held, {**ANA, "name": "Bo"})
    changes = planned(record, {"email": "a@example.com", "name": None, "age": 30})
    assert changes[KEYS] == [{"s": EMAIL.id, "a": "a@example.com"}]


def test_a_change_of_another_field_leaves_right_entries_and_mends_others() -> None:
    right = entries([BOTH, EMAIL, NAME], ANA)
    row = {"email": "a@example.com", "name": "Ana", "age": 30}
    assert KEYS not in planned({**ANA, KEYS: right}, row)
    assert planned({**ANA, KEYS: right[1:]}, row)[KEYS] == right
    assert planned(ANA, row)[KEYS] == right


SPELLINGS = st.text(st.sampled_from("aé\u0301 \u00a0\u200b@.XÅ\u212b\ufa19\u3000"), max_size=8)


@given(SPELLINGS)
def test_the_server_looks_at_all_that_is_compared_as_something_else(text: str) -> None:
    assert key_value(text) == text or re.search(SPELLED, text, re.ASCII)


@pytest.mark.parametrize("blank", " \t\n\x0b\x0c\r\x85\xa0\u2028\u3000")
def test_blanks_are_seen_by_every_engine(blank: str) -> None:
    texts = [blank, f"{blank}a", f"a{blank}"]
    assert all(key_value(text) != text and re.search(SPELLED, text) for text in texts)
    assert pc.match_substring_regex(pa.array(texts), SPELLED).to_pylist() == [True] * len(texts)


@given(st.lists(SPELLINGS, min_size=1, max_size=5))
def test_encoded_entries_hold_texts_as_they_are_compared(texts: list[str]) -> None:
    of_email = key("email")
    table = checked_batch(CONTACTS, [{"_row": at, "email": text} for at, text in enumerate(texts, start=1)])
    encoder = RecordEncoder(CONTACTS, RUN_ID, TENANT_ID, WRITTEN_AT, keys=[of_email])
    made = [bson.decode(each) for each in documents(encoder, table)]
    assert [each[KEYS] for each in made] == [[key_entry(of_email.id, [key_value(text)])] for text in texts]
    assert [each["email"] for each in made] == texts
    assert all(carried(each, of_email) is not None for each in made)
