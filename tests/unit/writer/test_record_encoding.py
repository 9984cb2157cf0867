"""The encoder's bytes are those that ``bson.encode`` makes of the same records."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import Int64, ObjectId
from bson.codec_options import CodecOptions
from hypothesis import given
from hypothesis import strategies as st

from libs.batches.extra_keys import extra_columns
from libs.contracts.errors import PermanentError
from libs.contracts.ids import record_id
from libs.contracts.templates import Template, TemplateField
from services.writer.domain.record_encoding import RecordEncoder
from tests.unit.writer.checked_batches import (
    CONTACTS,
    RUN_ID,
    TENANT_ID,
    WIDE,
    WIDE_EXTRA,
    Raw,
    checked_batch,
    stored,
)

WRITTEN_AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
ENCODER = RecordEncoder(CONTACTS, RUN_ID, TENANT_ID, WRITTEN_AT)

integers = st.integers(-(2**63), 2**63 - 1)
raws = st.text().map(Raw)
warnings = st.lists(
    st.fixed_dictionaries({"field": st.text(), "code": st.text(), "message": st.text()}), min_size=1, max_size=3
)
cells: dict[str, st.SearchStrategy[Any]] = {
    "email": st.none() | st.text(),
    "name": st.text(),
    "age": st.none() | integers | raws,
    "amount": st.none() | integers | st.floats() | raws,
    "joined": st.none()
    | raws
    | st.datetimes(timezones=st.just(UTC)).map(
        lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    ),
    "active": st.none() | st.booleans() | raws,
    "note": st.none() | st.just("") | raws,
}
rows = st.fixed_dictionaries({"_row": st.integers(1, 2**32 - 1), **cells}, optional={"_warnings": warnings})


def expected(template: Template, row: dict[str, Any]) -> bytes:
    """The record; with ``extra`` it is of the template ``WIDE``."""
    times = {"created_at": WRITTEN_AT, "updated_at": WRITTEN_AT}
    origin: dict[str, Any] = {"run_id": RUN_ID, "row": Int64(row["_row"]), "version": 1, **times}
    columns = {key: row.get("extra", {}).get(key) for _, key in WIDE_EXTRA}
    extra = {"extra": {**columns, **row.get("_more", {})}} if template.include_unmatched_columns else {}
    if "_warnings" in row:
        origin["warnings"] = row["_warnings"]
    return bson.encode(
        {
            "_id": ObjectId(record_id(RUN_ID, row["_row"])),
            "tenant_id": TENANT_ID,
            **{field.name: stored(row.get(field.name)) for field in template.fields},
            **template.default_values,
            **extra,
            "is_deleted": False,
            "deleted_at": None,
            **{name: time for name, time in times.items() if name not in template.sets},
            "_import": origin,
        }
    )


def test_times_that_the_template_sets_are_there_once() -> None:
    fields = (TemplateField(name="created_at"), TemplateField(name="text"))
    template = Template(name="t", target_resource="t", fields=fields, default_values={"updated_at": "then"})
    row = {"_row": 1, "created_at": "2020", "text": "x"}
    encoder = RecordEncoder(template, RUN_ID, TENANT_ID, WRITTEN_AT)
    assert documents(encoder, checked_batch(template, [row])) == [expected(template, row)]


def documents(encoder: RecordEncoder, table: pa.Table) -> list[bytes]:
    encoded = encoder.encode(table)
    assert encoded.count == table.num_rows
    assert len(encoded.blob) == encoded.offsets[-1]
    return [
        bytes(encoded.blob[start:end]) for start, end in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)
    ]


@given(st.lists(rows, max_size=12))
def test_bytes_are_those_of_bson(batch: list[dict[str, Any]]) -> None:
    assert documents(ENCODER, checked_batch(CONTACTS, batch)) == [expected(CONTACTS, row) for row in batch]


def fixed_point(places: int) -> st.SearchStrategy[Decimal]:
    whole = st.integers(-(10**34) + 1, 10**34 - 1) | st.integers(-200, 200)
    return whole.map(lambda number: Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -places)))


wide_rows = st.fixed_dictionaries(
    {
        "_row": st.integers(1, 2**32 - 1),
        "price": st.none() | fixed_point(2) | raws,
        "whole": fixed_point(0),
        "fine": st.none() | fixed_point(30),
        "any": st.none() | integers | st.floats() | st.just(Decimal("0.12345678901234567890")) | raws,
        "phone": st.none() | st.text(),
        "url": st.text(),
        "size": st.none() | st.sampled_from("SM"),
        "code": st.none() | st.text() | raws,
        "extra": st.fixed_dictionaries({key: st.none() | st.text() for _, key in WIDE_EXTRA}),
    },
    optional={
        "_warnings": warnings,
        "_more": st.dictionaries(st.sampled_from(["x", "Y", "_id2", "ä"]), st.none() | st.text()),
    },
)


@given(st.lists(wide_rows, max_size=12))
def test_every_type_and_extra(batch: list[dict[str, Any]]) -> None:
    encoder = RecordEncoder(WIDE, RUN_ID, TENANT_ID, WRITTEN_AT, WIDE_EXTRA)
    assert documents(encoder, checked_batch(WIDE, batch, WIDE_EXTRA)) == [expected(WIDE, row) for row in batch]


def test_hostile_headers_are_inert_and_can_be_read_again() -> None:
    headers = ["$where", "a.b", "", "_id", "__proto__", "constructor", "tenant_id", "A.B", "is_deleted"]
    extra = extra_columns(headers, range(len(headers)))
    values = {key: f"{number}: {{$gt: 1}}" for number, (_, key) in enumerate(extra)}
    row = {"_row": 1, "extra": values, "_more": {"$inc": "x", "tenant_id": "y", "_ID": "z"}}
    encoder = RecordEncoder(WIDE, RUN_ID, TENANT_ID, WRITTEN_AT, extra)
    (document,) = documents(encoder, checked_batch(WIDE, [row], extra))
    record = bson.decode(document)
    assert list(record["extra"]) == [
        "\uff04where",
        "a\uff0eb",
        "column_3",
        "_id",
        "__proto___",
        "constructor_",
        "tenant_id",
        "A\uff0eB_2",
        "is_deleted",
        "\uff04inc",
        "tenant_id_2",
        "_ID_2",
    ]
    assert [record["extra"][key] for key in values] == list(values.values())
    assert (record["_id"], record["tenant_id"], record["is_deleted"]) == (
        ObjectId(record_id(RUN_ID, 1)),
        TENANT_ID,
        False,
    )


@pytest.mark.parametrize(
    "row",
    [
        {"age": 2**63 - 1, "amount": -(2**63)},
        {"age": -(2**63), "amount": 2**63 - 1},
        {"amount": 1.7976931348623157e308},
        {"amount": 5e-324},
        {"amount": -0.0},
        {"joined": datetime(1, 1, 1, tzinfo=UTC)},
        {"joined": datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)},
        {"joined": datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)},
        {"name": "", "note": "\0"},
        {"name": "a\0b\0", "note": "\U0010ffff\ud7ff\ufffe"},
        {"name": "x" * 1_048_576},
    ],
    ids="-".join,
)
def test_extremes_are_written_exactly(row: dict[str, Any]) -> None:
    batch = [{"_row": 2**32 - 1, **row}]
    assert documents(ENCODER, checked_batch(CONTACTS, batch)) == [expected(CONTACTS, batch[0])]
    read = bson.decode(expected(CONTACTS, batch[0]), CODEC)
    assert {name: read[name] for name in row} == row


def test_records_beyond_2_gib_fail_the_run() -> None:
    template = Template(
        name="one", target_resource="one", fields=(TemplateField(name="a"),), default_values={"big": "x" * 2**20}
    )
    encoder = RecordEncoder(template, RUN_ID, TENANT_ID, WRITTEN_AT)
    with pytest.raises(PermanentError, match="RECORDS_TOO_LARGE"):
        encoder.encode(checked_batch(template, [{"_row": row, "a": "x"} for row in range(1, 2_100)]))


@given(st.lists(rows, min_size=1, max_size=12), st.data())
def test_slices_and_chunks_of_a_table_encode_alike(batch: list[dict[str, Any]], data: st.DataObject) -> None:
    table = checked_batch(CONTACTS, batch)
    cut = data.draw(st.integers(0, len(batch)))
    rejoined = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    want = [expected(CONTACTS, row) for row in batch]
    assert documents(ENCODER, rejoined) == want
    assert documents(ENCODER, table.slice(cut)) == want[cut:]


@pytest.mark.parametrize("cell", ["", None, "x" * 100_000, "\0", "日本語 🎉"])
def test_a_column_of_one_value(cell: str | None) -> None:
    template = Template(name="one", target_resource="one", fields=(TemplateField(name="a"),))
    batch = [{"_row": row, "a": cell} for row in (1, 2, 500)]
    encoder = RecordEncoder(template, RUN_ID, TENANT_ID, WRITTEN_AT)
    assert documents(encoder, checked_batch(template, batch)) == [expected(template, row) for row in batch]


def test_text_below_a_null_is_not_written() -> None:
    """Arrow allows a null slot to hold bytes; they are no value."""
    hidden = pa.Array.from_buffers(
        pa.string(),
        2,
        [pa.py_buffer(b"\x02"), pa.py_buffer(b"\0\0\0\0\x06\0\0\0\x07\0\0\0"), pa.py_buffer(b"hiddenv")],
    )
    assert hidden.to_pylist() == [None, "v"]
    template = Template(name="one", target_resource="one", fields=(TemplateField(name="a"),))
    table = pa.table({"_row": pa.array([1, 2], pa.uint32()), "a": hidden})
    batch = [{"_row": 1, "a": None}, {"_row": 2, "a": "v"}]
    encoder = RecordEncoder(template, RUN_ID, TENANT_ID, WRITTEN_AT)
    assert documents(encoder, table) == [expected(template, row) for row in batch]


def test_a_missing_column_is_an_error() -> None:
    with pytest.raises(KeyError, match="email"):
        ENCODER.encode(checked_batch(CONTACTS, [{"_row": 1}]).drop_columns(["email"]))


def test_a_default_value_beyond_64_bits_is_an_error() -> None:
    template = CONTACTS.model_copy(update={"default_values": {"big": 2**63}})
    with pytest.raises(OverflowError):
        RecordEncoder(template, RUN_ID, TENANT_ID, WRITTEN_AT)
