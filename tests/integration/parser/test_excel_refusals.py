"""Bombs, traps, damaged workbooks, and files that are none."""

import io
import os
import random
import struct
import time
import zipfile
from collections.abc import Callable

import pytest

from libs.contracts.errors import FileRefusedError
from services.parser.formats.api.limits import MIB
from tests.integration.parser import workbooks
from tests.integration.parser.excel_reading import batches_of, refusal, rows_of
from tests.integration.parser.written_workbooks import errors, ods, ods_cell, ods_text, old_people, simple, written, xls

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("nothing_stays_behind")]


def lying_bomb() -> bytes:
    """A sheet that claims 1,000 bytes and has 3 GB."""
    start = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row r="1">'
    deflated = workbooks.inflating_to(
        3 * 1024 * MIB, start + b'<c r="A1" t="inlineStr"><is><t>', b"A", b"</t></is></c></row></sheetData></worksheet>"
    )
    return workbooks.with_part_deflated(workbooks.xlsx(""), "xl/worksheets/sheet1.xml", deflated, 1_000)


def honest_bomb() -> bytes:
    deflated = workbooks.inflating_to(1000 * MIB, b"<worksheet>", b"A", b"</worksheet>")
    return workbooks.with_part_deflated(workbooks.xlsx(""), "xl/worksheets/sheet1.xml", deflated, 1000 * MIB)


ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + level)} "{f"&{chr(97 + level)};" * 10}">' for level in range(9))
    + "]>"
)


@pytest.mark.parametrize(
    ("make", "codes"),
    [
        pytest.param(honest_bomb, {"FILE_TOO_COMPLEX"}, id="1 GB of A in 1 MB"),
        pytest.param(lying_bomb, {"FILE_TOO_COMPLEX", "CORRUPT_FILE"}, id="3 GB that claim to be 1 KB"),
        pytest.param(
            lambda: workbooks.xlsx(
                workbooks.sheet(""), {"xl/sharedStrings.xml": "<sst>" + "<si><t>a</t></si>" * 4_000_000}
            ),
            {"FILE_TOO_COMPLEX"},
            id="shared strings",
        ),
        pytest.param(
            lambda: workbooks.xlsx(ENTITIES + workbooks.sheet('<row r="1"><c r="A1" t="str"><v>&j;</v></c></row>')),
            {"CORRUPT_FILE", "EMPTY_FILE"},
            id="entities in the sheet",
        ),
        pytest.param(
            lambda: workbooks.xlsx(workbooks.sheet(""), {"xl/workbook.xml": ENTITIES + workbooks.WORKBOOK}),
            {"CORRUPT_FILE"},
            id="entities in the workbook",
        ),
        pytest.param(
            lambda: workbooks.xlsx(workbooks.sheet(""), {f"xl/{number}": "" for number in range(10_001)}),
            {"FILE_TOO_COMPLEX"},
            id="too many parts",
        ),
        pytest.param(
            lambda: workbooks.xlsx(workbooks.sheet(""), {"../evil.xml": ""}), {"UNSAFE_ARCHIVE"}, id="path upwards"
        ),
        pytest.param(
            lambda: workbooks.xlsx(workbooks.sheet(""), {"/etc/x": ""}), {"UNSAFE_ARCHIVE"}, id="absolute path"
        ),
        pytest.param(
            lambda: workbooks.xlsx(workbooks.sheet(""), {"xl/a.zip": ""}), {"UNSAFE_ARCHIVE"}, id="nested archive"
        ),
        pytest.param(
            lambda: workbooks.xlsx(workbooks.sheet(""), {"XL/workbook.XML": ""}), {"UNSAFE_ARCHIVE"}, id="twin parts"
        ),
    ],
)
def test_bombs_and_traps(make: Callable[[], bytes], codes: set[str]) -> None:
    data = make()
    started = time.monotonic()
    assert refusal(data).code in codes
    assert time.monotonic() - started < 60


def two_directories() -> bytes:
    return workbooks.xlsx(workbooks.sheet("")) + workbooks.xlsx(workbooks.sheet('<row r="1"/>'))


def archive_of(**parts: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()


def protected_package() -> bytes:
    """A compound file that holds a stream of the name, as Excel writes protected workbooks."""
    data = bytearray(xls(old_people))
    name = "EncryptedPackage".encode("utf-16-le")
    at = data.index("Workbook".encode("utf-16-le"))
    data[at : at + len(name)] = name
    data[at + 64 : at + 66] = struct.pack("<H", len(name) + 2)
    return bytes(data)


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        pytest.param(lambda: archive_of(a="b"), "NOT_EXCEL", "a ZIP archive, and no workbook", id="zip"),
        pytest.param(lambda: archive_of(word__document="x"), "NOT_EXCEL", "another Office document", id="docx"),
        pytest.param(lambda: archive_of(**{"xl__workbook.bin": "x"}), "NOT_EXCEL", "(.xlsb)", id="xlsb"),
        pytest.param(
            lambda: archive_of(mimetype="application/vnd.oasis.opendocument.text", **{"content.xml": ""}),
            "NOT_EXCEL",
            "a ZIP archive",
            id="odt",
        ),
        pytest.param(
            lambda: archive_of(
                mimetype="application/vnd.oasis.opendocument.spreadsheet",
                **{"content.xml": "", "META-INF__manifest.xml": "<manifest:encryption-data/>"},
            ),
            "FILE_ENCRYPTED",
            "remove the password",
            id="ods with a password",
        ),
        pytest.param(protected_package, "FILE_ENCRYPTED", "remove the password", id="xlsx with a password"),
        pytest.param(
            lambda: xls(old_people).replace("Workbook".encode("utf-16-le"), "Workbxxk".encode("utf-16-le")),
            "NOT_EXCEL",
            "another document of an old program",
            id="another compound file",
        ),
        pytest.param(lambda: xls(old_people)[:300], "CORRUPT_FILE", "ends within its header", id="cut old workbook"),
        pytest.param(lambda: written(simple)[:-100], "CORRUPT_FILE", "archive is cut off", id="cut workbook"),
        pytest.param(lambda: b"a,b\n1,2\n", "NOT_EXCEL", "", id="text"),
        pytest.param(lambda: b"", "NOT_EXCEL", "", id="nothing"),
        pytest.param(two_directories, "UNSAFE_ARCHIVE", "second table of contents", id="two directories"),
        pytest.param(
            lambda: workbooks.xlsx("<worksheet><sheetData><row"),
            "CORRUPT_FILE",
            "(its sheets are incomplete",
            id="broken sheet",
        ),
        pytest.param(
            lambda: workbooks.xlsx("", {"xl/workbook.xml": "<workbook>" + " " * 17 * MIB}),
            "FILE_TOO_COMPLEX",
            "'xl/workbook.xml' has more than 16 MiB",
            id="endless workbook part",
        ),
    ],
)
def test_files_that_are_no_workbook(make: Callable[[], bytes], code: str, words: str) -> None:
    refused = refusal(make())
    assert refused.code == code
    assert words in refused.detail


@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods"])
def test_a_damaged_workbook_ends_in_rows_or_in_a_refusal(kind: str) -> None:
    whole = {
        "xlsx": written(errors),
        "xls": xls(old_people),
        "ods": ods([ods_text("id")], [ods_cell(valuetype="float", value="8")]),
    }[kind]
    chance = random.Random(kind)
    codes: set[str] = set()
    for _ in range(int(os.environ.get("ROWDOCK_FUZZ_CASES", "12"))):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 3, 20])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        started = time.monotonic()
        try:
            rows_of(batches_of(bytes(data), has_header=False))
        except FileRefusedError as refused:
            codes.add(refused.code)
        assert time.monotonic() - started < 60
    allowed = {"CORRUPT_FILE", "NOT_EXCEL", "UNSAFE_ARCHIVE", "FILE_ENCRYPTED", "FILE_TOO_COMPLEX", "EMPTY_FILE"}
    assert codes <= allowed
