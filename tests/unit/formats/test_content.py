"""What a file is by its first bytes, and which templates can read it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.formats.content import (
    HEAD_BYTES,
    Content,
    file_type_of,
    recognise,
    refusal,
)
from libs.formats.file_types import BUILT_IN, Kind

TEXTS: dict[str, tuple[str, Kind]] = {
    "header": ("name,email\nAda,ada@example.com\n", "text"),
    "blank lines": ("\n \n\t", "text"),
    "array": ('[{"a": 1}]', "json"),
    "object after blanks": (' \r\n\t{"a": 1}', "json"),
    "lines": ('{"a": 1}\n{"a": 2}\n', "json"),
    "scalar": ("12", "text"),
    "declaration": ('<?xml version="1.0"?><rows/>', "xml"),
    "root only": ("\n<rows><row/></rows>", "xml"),
    "prefixed root": ("<x:rows/>", "xml"),
    "Russian root": ("<строки/>", "xml"),
    "document type": ("<!DOCTYPE rows [<!ENTITY a 'b'>]><rows/>", "xml"),
    "comment": ("<!-- made by hand --><rows/>", "xml"),
    "page": ("<!DOCTYPE html>\n<html>", "html"),
    "page in capitals": ("<HTML><HEAD>", "html"),
    "page with attributes": ("<html lang='en'>", "html"),
    "page after comments": ("<!-- a --> <!-- b -->\n<!doctype HTML>", "html"),
    "page as XML": ('<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">', "html"),
    "root that only begins like a page": ("<html5 />", "xml"),
    "Excel 2003": (
        '<?mso-application progid="Excel.Sheet"?>\n<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">',
        "binary",
    ),
    "Excel 2003 with a prefix": ('<ss:Workbook xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">', "binary"),
    "root that is only called Workbook": ("<Workbook><Row/></Workbook>", "xml"),
    "flat OpenDocument": (
        '<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" office:version="1.3">',
        "binary",
    ),
    "FileMaker": ('<?xml version="1.0" ?><FMPXMLRESULT xmlns="http://www.filemaker.com/fmpxmlresult">', "binary"),
    "FileMaker, with names": ('<FMPDSORESULT xmlns="http://www.filemaker.com/fmpdsoresult">', "xml"),
    "root that is only called document": ('<document xmlns="urn:example:documents">', "xml"),
    "Word": ('<?xml version="1.0"?><?mso-application progid="Word.Document"?><w:wordDocument xmlns:w="x">', "binary"),
    "picture": ('<!-- drawn --><svg xmlns="http://www.w3.org/2000/svg">', "binary"),
    "a heart": ("<3,name\n", "text"),
    "less than": ("< 5 years,n\n", "text"),
    "letters of a program": ("MZ,name\n1,2\n", "text"),
    "letters of a Parquet file": ("PAR1,PAR2\n1,2\n", "text"),
    "letters of an ORC file": ("ORC,hobbits\n1,2\n", "text"),
    "letters of a GIF image": ("GIF89a,size\n1,2\n", "text"),
    "letters of a bzip2 archive": ("BZh1,BZh2\n1,2\n", "text"),
    "letters of a bitmap": ("BMW,Audi\n1,2\n", "text"),
    "letters of a ZIP archive": ("PK,name\n1,2\n", "text"),
    "letters of a tar archive": ("a" * 257 + "ustar 1,2\n", "text"),
}


@pytest.mark.parametrize(("text", "kind"), TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_text_in_every_unicode_encoding(text: str, kind: Kind, encoding: str) -> None:
    assert recognise(text.encode(encoding)).kind == kind


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("naïve,Größe,€\n", "cp1252"),
        ("имя,город\n", "cp1251"),
        ("имя,город\nЮлия,Минск\n", "utf-16-le"),
        ("όνομα,πόλη\n", "utf-16-be"),
        ("名前,都市\n", "utf-16-le"),
        ("名前,都市\n", "shift_jis"),
        ("名前,都市\n", "gb18030"),
        ("name,city\n", "cp500"),
        ("", "utf-16"),
    ],
)
def test_text_in_other_encodings(text: str, encoding: str) -> None:
    assert recognise(text.encode(encoding)).kind == "text"


BINARIES: list[tuple[bytes, Kind, str]] = [
    (b"PK\x03\x04\x14\x00", "zip", "a ZIP archive or an Excel workbook (.xlsx)"),
    (b"PK\x05\x06" + bytes(18), "zip", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole", "an old Excel workbook (.xls) or another Office document"),
    (b"%PDF-1.7\n%\xe2\xe3", "binary", "a PDF document"),
    (b"\n%PDF-1.4", "binary", "a PDF document"),
    (b"{\\rtf1\\ansi", "binary", "an RTF document"),
    (b"%!PS-Adobe-3.0", "binary", "a PostScript document"),
    (b"\x1f\x8b\x08\x00", "binary", "a gzip archive"),
    (b"BZh91AY&SY\x00", "binary", "a bzip2 archive"),
    (b"\xfd7zXZ\x00\x00", "binary", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c\x00", "binary", "a 7z archive"),
    (b"\x28\xb5\x2f\xfd\x04", "binary", "a zstd archive"),
    (b"\x04\x22\x4d\x18\x64", "binary", "an lz4 archive"),
    (b"\x1f\x9d\x90", "binary", "a compress archive (.Z)"),
    (b"Rar!\x1a\x07\x01\x00", "binary", "a RAR archive"),
    (b"a.csv".ljust(257, b"\x00") + b"ustar\x0000", "binary", "a tar archive"),
    (b"MZ\x90\x00\x03\x00", "binary", "a Windows program"),
    (b"\x7fELF\x02\x01", "binary", "a program"),
    (b"\xcf\xfa\xed\xfe\x07\x00", "binary", "a program"),
    (b"\xca\xfe\xba\xbe\x00\x00", "binary", "a Java class or a program"),
    (b"\x89PNG\r\n\x1a\n", "binary", "a PNG image"),
    (b"\xff\xd8\xff\xe0", "binary", "a JPEG image"),
    (b"GIF89a\x01\x00\x01\x00", "binary", "a GIF image"),
    (b"II*\x00\x08\x00", "binary", "a TIFF image"),
    (b"BM\x36\x00\x0c\x00\x00\x00\x00\x00\x36", "binary", "a bitmap image"),
    (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "binary", "a WebP image"),
    (b"\x00\x00\x00\x18ftypmp42", "binary", "a sound or a video"),
    (b"SQLite format 3\x00\x10", "binary", "an SQLite database"),
    (b"PAR1\x15\x04\x15", "binary", "a Parquet file"),
    (b"Obj\x01\x04\x14avro", "binary", "an Avro file"),
    (b"ORC\x0a\x03\x00", "binary", "an ORC file"),
    (b"ARROW1\x00\x00\xff", "binary", "an Arrow file"),
    (b"\x89HDF\r\n\x1a\n", "binary", "an HDF5 file"),
    (b"\x01\x02\x03\x04 one word", "binary", "a file of binary data"),
    (bytes(64), "binary", "a file of binary data"),
    (b"", "empty", "an empty file"),
]


@pytest.mark.parametrize(("head", "kind", "description"), BINARIES, ids=lambda each: str(each)[:40])
def test_signatures(head: bytes, kind: Kind, description: str) -> None:
    assert recognise(head) == Content(kind, description)


def test_only_the_head_is_looked_at() -> None:
    assert recognise(b" " * HEAD_BYTES + b"<html>").kind == "text"
    assert recognise(b"<!--" + b"-->  <!--" * 100_000).kind == "xml"


@given(st.binary(max_size=300))
def test_any_bytes_are_something(head: bytes) -> None:
    content = recognise(head)
    assert (content.kind == "empty") is (head == b"")
    assert refusal(None, content) is None or content.kind in {"binary", "html"}
    assert file_type_of(content) in BUILT_IN


def content(kind: Kind) -> Content:
    return Content(kind, f"some {kind}")


@pytest.mark.parametrize(
    ("file_type", "refused"),
    [
        (None, {"binary", "html"}),
        ("csv", {"binary", "html", "zip", "ole"}),
        ("fixed_width", {"binary", "html", "zip", "ole"}),
        ("json", {"binary", "html", "zip", "ole", "xml"}),
        ("xml", {"binary", "html", "zip", "ole", "json"}),
        ("excel", {"binary", "html", "text", "json", "xml"}),
        ("parquet_of_a_third_party", set[str]()),
    ],
)
def test_what_each_format_refuses(file_type: str | None, refused: set[str]) -> None:
    kinds: tuple[Kind, ...] = ("empty", "text", "json", "xml", "html", "zip", "ole", "binary")
    assert {kind for kind in kinds if refusal(file_type, content(kind))} == refused


@pytest.mark.parametrize(
    ("file_type", "head", "reason"),
    [
        (
            "csv",
            b"PK\x03\x04",
            (
                "the file is a ZIP archive or an Excel workbook (.xlsx), but the template reads CSV text; save or "
                "export it as CSV text, or set the template's file_type to 'excel' if it is a workbook"
            ),
        ),
        (
            "csv",
            b"<html>",
            (
                "the file is an HTML page, but the template reads CSV text; a login or error page was saved instead of "
                "the export, or a program has written its table as a page: look into it, then download the file again, "
                "or open it in a spreadsheet and save it as .xlsx or CSV"
            ),
        ),
        (
            "excel",
            b"a,b\n",
            (
                "the file is a text file, but the template reads an Excel workbook (.xlsx, .xlsm, .xls or .ods); save "
                "it as an Excel workbook (.xlsx, .xlsm, .xls or .ods), or set the template's file_type to 'csv'"
            ),
        ),
        (
            "json",
            b"<rows/>",
            (
                "the file is an XML document, but the template reads JSON; save it as JSON, or set the template's "
                "file_type to 'xml'"
            ),
        ),
        (
            None,
            b"\x1f\x8b\x08",
            (
                "the file is a gzip archive, but the template reads CSV text, JSON, XML or an Excel workbook (.xlsx, "
                ".xlsm, .xls or .ods); unpack it if it is an archive, or export the data as CSV text, JSON, XML or an "
                "Excel workbook (.xlsx, .xlsm, .xls or .ods)"
            ),
        ),
    ],
)
def test_the_reason_says_what_the_file_is_and_what_to_do(file_type: str | None, head: bytes, reason: str) -> None:
    assert refusal(file_type, recognise(head)) == reason


@pytest.mark.parametrize(
    ("kind", "file_type"),
    [
        ("zip", "excel"),
        ("ole", "excel"),
        ("json", "json"),
        ("xml", "xml"),
        ("text", "csv"),
        ("empty", "csv"),
    ],
)
def test_the_format_where_the_template_leaves_it_open(kind: Kind, file_type: str) -> None:
    assert file_type_of(content(kind)) == file_type
