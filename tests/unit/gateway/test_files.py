"""File names for display, and files that are not text whatever their name says."""

import pytest

from services.gateway.domain.files import display_name, foreign_kind


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("contacts.csv", "contacts.csv"),
        ("C:\\Users\\me\\contacts.csv", "contacts.csv"),
        ("../../etc/passwd", "passwd"),
        ("a\r\nSet-Cookie: x.csv", "aSet-Cookie: x.csv"),
        ("invoice\u202evsc.exe", "invoicevsc.exe"),
        ("zero\u200bwidth.csv", "zerowidth.csv"),
        ("  spaced \t out .csv", "spaced out .csv"),
        ("naïve 名前 😀.csv", "naïve 名前 😀.csv"),
        ("x" * 1_000, "x" * 255),
        ("..", "unnamed"),
        ("", "unnamed"),
        (None, "unnamed"),
        ("\ud800", "unnamed"),
    ],
)
def test_display_name(name: str | None, expected: str) -> None:
    assert display_name(name) == expected


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"PK\x03\x04\x14\x00", "a ZIP archive or an Excel workbook"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"name,email\n", None),
        (b"\xff\xfen\x00", None),
        (b"\xef\xbb\xbfname", None),
        (b"", None),
    ],
)
def test_foreign_kind(start: bytes, kind: str | None) -> None:
    assert foreign_kind(start) == kind
