"""The encoder's bytes are those that ``bson.encode`` makes of the same records."""

from datetime import UTC, datetime
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import Int64, ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.ids import record_id
from libs.contracts.templates import Template, TemplateField
from services.writer.domain.record_encoding import RecordEncoder
from tests.unit.writer.checked_batches import CONTACTS, RUN_ID, TENANT_ID, Raw, checked_batch, stored

WRITTEN_AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
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
    origin: dict[str, Any] = {"run_id": RUN_ID, "row": Int64(row["_row"]), "version": 1}
    if "_warnings" in row:
        origin["warnings"] = row["_warnings"]
    return bson.encode(
        {
            "_id": ObjectId(record_id(RUN_ID, row["_row"])),
            "tenant_id": TENANT_ID,
            **{field.name: stored(row.get(field.name)) for field in template.fields},
            **template.default_values,
            "is_deleted": False,
            "deleted_at": None,
            "created_at": WRITTEN_AT,
            "updated_at": WRITTEN_AT,
            "_import": origin,
        }
    )


def documents(encoder: RecordEncoder, table: pa.Table) -> list[bytes]:
    encoded = encoder.encode(table)
    assert encoded.count == table.num_rows
    assert len(encoded.blob) == encoded.offsets[-1]
    return [
        bytes(encoded.blob[start:end]) for start, end in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)
    ]


@settings(deadline=None)
@given(st.lists(rows, max_size=12))
def test_bytes_are_those_of_bson(batch: list[dict[str, Any]]) -> None:
    assert documents(ENCODER, checked_batch(CONTACTS, batch)) == [expected(CONTACTS, row) for row in batch]


@settings(deadline=None)
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
