"""File names for display."""

import pytest

from services.gateway.uploads.file_names import display_name


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
