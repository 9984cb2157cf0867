"""What is refused before a workbook is opened, and which sheet is read."""

import io
import struct
from dataclasses import replace

import pytest
import xlwt
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from services.parser.formats.excel.compound_file import CompoundFile
from services.parser.formats.excel.workbook import (
    MAX_ENTRIES,
    MAX_UNPACKED_BYTES,
    MIB,
    ArchiveEntry,
    SheetInfo,
    WorkbookKind,
    archive_kind,
    cell_reference,
    choose_sheet,
    column_index,
    compound_kind,
    described,
    refuse_second_directory,
    refuse_unsafe_archive,
    relation_targets,
    workbook_parts,
)

SHEET = ArchiveEntry("xl/worksheets/sheet1.xml", packed=10, unpacked=100, start=0, end=60)


def after(name: str, **changes: int) -> ArchiveEntry:
    """An entry behind ``SHEET``."""
    return replace(ArchiveEntry(name, packed=10, unpacked=100, start=60, end=120), **changes)


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([], id="nothing"),
        pytest.param([SHEET, after("xl/styles.xml")], id="parts"),
        pytest.param([after("xl/styles.xml"), SHEET], id="parts in another order"),
        pytest.param([SHEET, after("xl/styles.xml", start=90)], id="a gap"),
        pytest.param([replace(SHEET, packed=2 * MIB, unpacked=100 * MIB)], id="large"),
        pytest.param([replace(SHEET, packed=1, unpacked=MIB)], id="small and very regular"),
        pytest.param([after("xl/embeddings/Sheet1.xlsx")], id="pasted workbook"),
        pytest.param([after("Object 1/content.zip")], id="pasted object"),
        pytest.param([after("xl/..rels")], id="dots in a name"),
    ],
)
def test_archives_that_are_safe(entries: list[ArchiveEntry]) -> None:
    refuse_unsafe_archive(entries)


@pytest.mark.parametrize(
    ("entries", "code", "words"),
    [
        pytest.param([SHEET] * (MAX_ENTRIES + 1), "FILE_TOO_COMPLEX", "10,001 parts", id="parts"),
        pytest.param(
            [replace(SHEET, packed=MIB * 30, unpacked=MAX_UNPACKED_BYTES), after("a")],
            "FILE_TOO_COMPLEX",
            "unpacks to more than 1,024 MiB",
            id="size",
        ),
        pytest.param([replace(SHEET, unpacked=51 * MIB)], "FILE_TOO_COMPLEX", "100 times its size", id="ratio"),
        pytest.param([replace(SHEET, flags=1)], "FILE_ENCRYPTED", "password", id="encrypted"),
        *(
            pytest.param([after(name)], "UNSAFE_ARCHIVE", "leads out of it", id=name)
            for name in ("/a", "../a", "xl/../../a", "xl\\..\\a", "C:\\a", "\\a", "a\0b", "")
        ),
        *(
            pytest.param([after(name)], "UNSAFE_ARCHIVE", "another archive", id=name)
            for name in ("a.zip", "xl/book.XLSX", "x.tar", "lib.jar")
        ),
        pytest.param([SHEET, after("XL/worksheets/Sheet1.xml")], "UNSAFE_ARCHIVE", "two parts of one name", id="twins"),
        pytest.param([SHEET, after("a", start=59)], "UNSAFE_ARCHIVE", "overlap", id="overlap"),
    ],
)
def test_archives_that_are_not(entries: list[ArchiveEntry], code: str, words: str) -> None:
    with pytest.raises(FileRefusedError) as refused:
        refuse_unsafe_archive(entries)
    assert refused.value.code == code
    assert words in refused.value.detail


def test_another_directory_between_the_parts() -> None:
    refuse_second_directory([b"", b"PK\7\x08padding", b"comment"])
    for mark in (b"PK\1\2", b"PK\3\4", b"PK\5\6"):
        with pytest.raises(FileRefusedError, match="second table of contents"):
            refuse_second_directory([b"", b"xx" + mark])


XLSX = ["[Content_Types].xml", "XL/workbook.xml"]
ODS = b"application/vnd.oasis.opendocument.spreadsheet"


@pytest.mark.parametrize(
    ("names", "mimetype", "kind"),
    [
        pytest.param(XLSX, b"", WorkbookKind.XLSX, id="xlsx"),
        pytest.param(["mimetype", "content.xml"], ODS, WorkbookKind.ODS, id="ods"),
        pytest.param(["mimetype", "content.xml"], ODS + b"-template", WorkbookKind.ODS, id="ods template"),
    ],
)
def test_kinds_of_archives(names: list[str], mimetype: bytes, kind: WorkbookKind) -> None:
    assert archive_kind(names, mimetype) is kind


@pytest.mark.parametrize(
    ("names", "mimetype", "words"),
    [
        pytest.param([], b"", "a ZIP archive", id="empty"),
        pytest.param(XLSX[:1], b"", "a ZIP archive", id="no workbook"),
        pytest.param(XLSX[1:], b"", "a ZIP archive", id="no content types"),
        pytest.param(["mimetype", "content.xml"], b"application/epub+zip", "a ZIP archive", id="epub"),
        pytest.param(["mimetype"], ODS, "a ZIP archive", id="ods without content"),
        pytest.param([XLSX[0], "word/document.xml"], b"", "another Office document", id="docx"),
        pytest.param([XLSX[0], "xl/workbook.bin"], b"", "a binary workbook (.xlsb)", id="xlsb"),
    ],
)
def test_archives_that_are_no_workbook(names: list[str], mimetype: bytes, words: str) -> None:
    with pytest.raises(FileRefusedError, match="NOT_EXCEL") as refused:
        archive_kind(names, mimetype)
    assert words in refused.value.detail


@pytest.mark.parametrize(
    ("streams", "code"),
    [
        pytest.param(["Workbook", "other"], None, id="xls"),
        pytest.param(["book"], None, id="Excel 5"),
        pytest.param(["EncryptionInfo", "EncryptedPackage"], "FILE_ENCRYPTED", id="protected xlsx"),
        pytest.param(["WordDocument"], "NOT_EXCEL", id="doc"),
        pytest.param([], "NOT_EXCEL", id="nothing"),
    ],
)
def test_kinds_of_compound_files(streams: list[str], code: str | None) -> None:
    if code is None:
        compound_kind(streams)
        return
    with pytest.raises(FileRefusedError) as refused:
        compound_kind(streams)
    assert refused.value.code == code


SHEETS = [
    SheetInfo("Secret", visible=False),
    SheetInfo("Chart", table=False),
    SheetInfo("Data"),
    SheetInfo("DATA 2"),
]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        pytest.param(None, 2, id="first visible table"),
        pytest.param(0, 0, id="hidden, by index"),
        pytest.param("Secret", 0, id="hidden, by name"),
        pytest.param("data 2", 3, id="another case"),
        pytest.param(" Data", 2, id="blanks"),
    ],
)
def test_choice_of_the_sheet(wanted: str | int | None, index: int) -> None:
    assert choose_sheet(SHEETS, wanted) == index


@pytest.mark.parametrize(
    ("sheets", "wanted", "words"),
    [
        pytest.param(
            SHEETS, "None", "no sheet 'None'; its sheets are 'Secret' (hidden), 'Chart' (no table)", id="name"
        ),
        pytest.param(SHEETS, 4, "no sheet 4", id="index"),
        pytest.param(SHEETS, 1, "only a chart or a macro in the sheet 'Chart'", id="chart"),
        pytest.param(SHEETS[:2], None, "no visible worksheet", id="none visible"),
        pytest.param([], None, "no visible worksheet", id="no sheets"),
    ],
)
def test_sheets_that_cannot_be_chosen(sheets: list[SheetInfo], wanted: str | int | None, words: str) -> None:
    with pytest.raises(FileRefusedError, match="UNKNOWN_SHEET") as refused:
        choose_sheet(sheets, wanted)
    assert words in refused.value.detail


@pytest.mark.parametrize("names", [["a", "b", "a"], ["x" * 256]], ids=["twins", "endless"])
def test_sheet_names_that_no_program_writes(names: list[str]) -> None:
    with pytest.raises(FileRefusedError, match="CORRUPT_FILE"):
        choose_sheet([SheetInfo(name) for name in names], 0)


def test_a_long_list_of_sheets_is_cut() -> None:
    assert described([SheetInfo(str(number)) for number in range(53)]).endswith("'49' and 3 more")


MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="urn:r"'


@pytest.mark.parametrize(
    ("properties", "date_1904"),
    [
        ("", False),
        ('<workbookPr date1904="1"/>', True),
        ('<workbookPr date1904="true"/>', True),
        ("<workbookPr/>", False),
    ],
)
def test_parts_of_a_workbook(properties: str, date_1904: bool) -> None:
    xml = f'<workbook {MAIN}>{properties}<sheets><sheet name="A &amp; B" r:id="x1"/></sheets></workbook>'
    parts = workbook_parts(xml.encode())
    assert parts.date_1904 is date_1904
    assert parts.relations == {"A & B": "x1"}


def test_targets_of_relations() -> None:
    xml = (
        '<p:Relationships xmlns:p="urn:p"><p:Relationship Id="a" Target="worksheets/sheet1.xml"/>'
        '<p:Relationship Id="b" Target="/xl/other.xml"/></p:Relationships>'
    )
    assert relation_targets(xml.encode()) == {"a": "xl/worksheets/sheet1.xml", "b": "xl/other.xml"}


@pytest.mark.parametrize(
    "xml",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<workbook>", id="no end"),
        pytest.param(b'<!DOCTYPE x [<!ENTITY a "a">]><workbook/>', id="document type"),
        pytest.param(b"<workbook>\xff</workbook>", id="bad bytes"),
    ],
)
def test_broken_parts(xml: bytes) -> None:
    with pytest.raises(FileRefusedError, match="CORRUPT_FILE"):
        workbook_parts(xml)


@pytest.mark.parametrize(
    ("row", "column", "reference"),
    [(0, 0, "A1"), (16, 2, "C17"), (9, 26, "AA10"), (2**20 - 1, 2**14 - 1, "XFD1048576")],
)
def test_cell_references(row: int, column: int, reference: str) -> None:
    assert cell_reference(row, column) == reference


@given(st.integers(0, 2**14 - 1))
def test_columns_and_their_letters(column: int) -> None:
    assert column_index(cell_reference(0, column)[:-1]) == column


def old_workbook() -> bytes:
    book = xlwt.Workbook()
    sheet = book.add_sheet("S")
    for row in range(3_000):
        sheet.write(row, 0, f"text {row}")
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_streams_of_a_compound_file() -> None:
    data = old_workbook()
    compound = CompoundFile(data)
    assert compound.names == ("workbook",)
    stream = compound.read("book", "workbook")
    assert stream.startswith(b"\x09\x08")
    assert stream in data  # xlwt writes it in one piece
    assert len(stream) % 512 == 0
    assert compound.read("book") == b""


def patched(offset: int, layout: str, *values: int) -> bytes:
    data = bytearray(old_workbook())
    struct.pack_into(layout, data, offset, *values)
    return bytes(data)


def with_small_stream() -> bytes:
    data = bytearray(old_workbook())
    at = data.index("Workbook".encode("utf-16-le"))
    struct.pack_into("<I", data, at + 120, 100)
    return bytes(data)


def test_a_stream_that_is_too_short_for_sectors_reads_as_empty() -> None:
    assert CompoundFile(with_small_stream()).read("workbook") == b""


def test_a_further_table_of_sectors() -> None:
    """A table of tables (DIFAT) that names no further sector changes nothing."""
    data = bytearray(old_workbook())
    table = len(data) // 512 - 1
    struct.pack_into("<II", data, 68, table, 2)
    data += struct.pack("<I", 0xFFFFFFFF) * 127 + struct.pack("<I", 0xFFFFFFFE)
    assert CompoundFile(bytes(data)).read("workbook") == CompoundFile(old_workbook()).read("workbook")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(old_workbook()[:500], id="header cut"),
        pytest.param(patched(30, "<H", 3), id="sector size"),
        pytest.param(patched(76, "<I", 2**30), id="table outside of the file"),
        pytest.param(patched(68, "<II", 2**30, 1), id="table of tables outside of the file"),
        pytest.param(patched(76, "<109I", *[0] * 109)[:2_048], id="more tables than sectors"),
    ],
)
def test_broken_compound_files(data: bytes) -> None:
    with pytest.raises(FileRefusedError, match="CORRUPT_FILE"):
        CompoundFile(data).read("workbook")


def test_a_chain_that_never_ends() -> None:
    data = bytearray(old_workbook())
    at = data.index("Workbook".encode("utf-16-le"))
    (start,) = struct.unpack_from("<I", data, at + 116)
    (fat,) = struct.unpack_from("<I", data, 76)
    struct.pack_into("<I", data, (fat + 1) * 512 + start * 4, start)
    with pytest.raises(FileRefusedError, match="circle"):
        CompoundFile(bytes(data)).read("workbook")
