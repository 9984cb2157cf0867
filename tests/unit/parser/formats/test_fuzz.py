"""Every reader against files that were sound once: they end as rows or as a refusal, the same ones every time.

``FUZZ_EXAMPLES`` asks for more files of each format than the default.
"""

import os
import resource
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from libs.contracts.templates import Template
from services.parser.formats.api.batches import ParsedBatch, digest
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.registry import file_format
from tests.reading import plan_file
from tests.renderings import FORMATS, rendered, source_of

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
CHILD_EXAMPLES = max(10, EXAMPLES // 15)
"""Of formats that are read in a process of their own."""
LIMITS = ReaderLimits(max_cell_bytes=200, max_record_bytes=600, max_columns=50)
MEMORY_KIB = 300 * 1024
HEADER = ("sku", "name", "day", "amount")
ROWS = [[f"S{number}", ('Ann "A", B', "Åsa & Bo", "x<y>")[number % 3], "25/03/2024", "1,5"] for number in range(40)]
SPLICES = (
    b"\0", b'"', b"'", b"\n", b"\r", b",", b"{", b"}", b"[", b"]", b"<", b">", b"&", b'""', b"NaN", b"1e999", b'{"a":',
    b"<!DOCTYPE a>", b"<![CDATA[", b"-->", b"&#0;", b"&x;", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000",
    b"9" * 5_000, b"[" * 200, b"<a>" * 300, b" " * 700, b"\xef\xbb\xbf", b"\xff\xfe",
)  # fmt: skip


def template_of(name: str) -> Template:
    source = source_of(name, HEADER, ROWS)
    if name == "fixed_width":
        widths = source["column_widths"].items()
        source["column_widths"] = [{"name": column, "width": width} for column, width in widths]
    types = {"day": "date", "amount": "number"}
    fields = [{"name": column, "type": types.get(column, "text")} for column in HEADER]
    body = {"name": "t", "target_resource": "things", "fields": fields, "include_unmatched_columns": True}
    return Template.model_validate({**body, "source": source})


@cache
def sound(name: str) -> bytes:
    return rendered(name, HEADER, ROWS)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """A file with some bytes changed, removed, doubled or put in."""
    data = bytearray(sound(name))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["change", "remove", "double", "splice", "cut"])):
            case "change" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "remove":
                del data[at : at + draw(st.integers(1, 50))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 200))]
            case "splice":
                data[at:at] = draw(st.sampled_from(SPLICES))
            case _:
                del data[at + 1 :]
    return bytes(data)


def outcome(content: bytes, template: Template, piece: int) -> object:
    """Digests of the batches, or why the file is refused; nothing else may come."""
    batches: list[ParsedBatch] = []
    try:
        plan = plan_file(content, template, limits=LIMITS)
        reader = file_format(plan.file_type).reader(plan, LIMITS)
        for start in range(0, len(content), piece):
            batches += reader.feed(content[start : start + piece])
        batches += reader.close()
    except FileRefusedError as refusal:
        return reason(refusal)
    check_rows(batches)
    return [digest(batch) for batch in batches]


def reason(refusal: FileRefusedError) -> tuple[str, str]:
    """What its owner is told."""
    assert refusal.code.isupper()
    assert len(refusal.detail) > 20
    return refusal.code, refusal.detail


def check_rows(batches: list[ParsedBatch]) -> None:
    """Rows are numbered without a gap, each is a row of the table or an issue, and texts can be stored."""
    row = 0
    for seq, batch in enumerate(batches):
        assert (batch.seq, batch.row_from) == (seq, row + 1)
        row = batch.row_to
        numbers = [*batch.table["_row"].to_pylist(), *(issue.row for issue in batch.issues)]
        assert sorted(numbers) == list(range(batch.row_from, batch.row_to + 1))
        batch.table.validate(full=True)
        for issue in batch.issues:
            issue.model_dump_json().encode()


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_end_in_the_same_way_however_they_arrive(name: str) -> None:
    template = template_of(name)
    assert isinstance(outcome(sound(name), template, 1_000), list)

    @settings(
        max_examples=CHILD_EXAMPLES if name == "xlsx" else EXAMPLES,
        suppress_health_check=list(HealthCheck),
    )
    @given(content=damaged(name), piece=st.integers(1, 3_000))
    def check(content: bytes, piece: int) -> None:
        assert outcome(content, template, piece) == outcome(content, template, 1 << 20)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_KIB


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40)
@given(content=st.binary(max_size=400))
def test_any_bytes_end_as_rows_or_a_refusal(name: str, content: bytes) -> None:
    if name != "xlsx":  # refused by its first bytes, before a process is started
        outcome(content, template_of(name), 7)
