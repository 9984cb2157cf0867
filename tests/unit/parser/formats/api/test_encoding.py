import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from services.parser.formats.api.encoding import WINDOW_BYTES, Encoding, EncodingDetector, open_decoder, show_marks


def detect(data: bytes, override: str | None = None, piece: int = 1_000_000) -> Encoding:
    detector = EncodingDetector(override)
    for start in range(0, len(data), piece):
        found = detector.feed(data[start : start + piece])
        if found:
            assert detector.feed(b"more") == found
            return found
    return detector.close()


ASCII = b"name,city\n" * 20_000


@pytest.mark.parametrize("piece", [7, 1_000, 1_000_000])
@pytest.mark.parametrize(
    ("data", "name", "bom_bytes"),
    [
        (b"", "utf-8", 0),
        (b"name,city\n", "utf-8", 0),
        (codecs.BOM_UTF8 + b"a,b\n", "utf-8", 3),
        (codecs.BOM_UTF16_LE + "a,b\n".encode("utf-16-le"), "utf-16-le", 2),
        (codecs.BOM_UTF16_BE + "a,b\n".encode("utf-16-be"), "utf-16-be", 2),
        (codecs.BOM_UTF32_LE + "a,b\n".encode("utf-32-le"), "utf-32-le", 4),
        (codecs.BOM_UTF32_BE + "a,b\n".encode("utf-32-be"), "utf-32-be", 4),
        ("größe,b\n".encode("utf-16-le"), "utf-16-le", 0),
        ("größe,b\n".encode("utf-16-be"), "utf-16-be", 0),
        ("größe\n".encode(), "utf-8", 0),
        ("größe\n".encode("cp1252"), "cp1252", 0),
        ("größe €\n".encode("cp1252"), "cp1252", 0),
        (b"a,b\n1,\0\n2,x\n", "utf-8", 0),
        ("größe\nstraße\n".encode() + b"\xff\n", "utf-8", 0),
        (ASCII, "utf-8", 0),
        (ASCII + "é".encode(), "utf-8", 0),
        (ASCII + b"\xe9\n", "cp1252", 0),
        (ASCII + "é".encode() * WINDOW_BYTES + b"\xff", "utf-8", 0),
        (ASCII + b"x" + "é".encode() * WINDOW_BYTES, "utf-8", 0),
        (ASCII + "€".encode() * WINDOW_BYTES, "utf-8", 0),
    ],
)
def test_detection(data: bytes, name: str, bom_bytes: int, piece: int) -> None:
    found = detect(data, piece=piece)
    assert (found.name, found.bom_bytes) == (name, bom_bytes)
    assert found.note is not None
    assert name in found.note


@pytest.mark.parametrize(
    ("override", "data", "name", "bom_bytes"),
    [
        ("latin-1", "größe".encode(), "cp1252", 0),
        ("UTF8", b"\xe9", "utf-8", 0),
        ("utf-8", codecs.BOM_UTF8 + b"a", "utf-8", 3),
        ("utf-8-sig", codecs.BOM_UTF8 + b"a", "utf-8", 3),
        ("utf-8-sig", b"a", "utf-8", 0),
        ("utf-16", codecs.BOM_UTF16_BE + b"\0a", "utf-16-be", 2),
        ("utf-16", "ab\n".encode("utf-16-be"), "utf-16-be", 0),
        ("utf-16", "日本".encode("utf-16-le"), "utf-16-le", 0),
        ("utf-16-be", codecs.BOM_UTF16_BE + b"\0a", "utf-16-be", 2),
        ("utf-32", codecs.BOM_UTF32_LE + b"a\0\0\0", "utf-32-le", 4),
        ("shift_jis", "日本".encode("shift_jis"), "cp932", 0),
    ],
)
def test_the_templates_encoding_wins(override: str, data: bytes, name: str, bom_bytes: int) -> None:
    assert detect(data, override) == Encoding(name, bom_bytes)


def test_a_byte_order_mark_of_utf8_cannot_be_anything_else() -> None:
    found = detect(codecs.BOM_UTF8 + b"a", "cp1252")
    assert (found.name, found.bom_bytes) == ("utf-8", 3)
    assert found.note is not None
    assert "although the template says cp1252" in found.note


@pytest.mark.parametrize(
    "override", ["klingon", "base64", "idna", "punycode", "unicode_escape", "utf-7", "a\0b", "rot13"]
)
def test_an_encoding_that_is_none_is_refused(override: str) -> None:
    with pytest.raises(FileRefusedError) as refused:
        EncodingDetector(override)
    assert refused.value.code == "UNKNOWN_ENCODING"
    assert repr(override) in refused.value.detail


@pytest.mark.parametrize(
    "data",
    [
        b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0\0\0@\0",
        bytes(1_000),
        bytes(range(32)) * 9_000,
    ],
)
def test_what_is_not_text_is_refused(data: bytes) -> None:
    with pytest.raises(FileRefusedError) as refused:
        detect(data)
    assert refused.value.code == "NOT_TEXT"
    assert "binary" in refused.value.detail


@pytest.mark.parametrize("data", [b"a\x81\n", b"caf\xe9,\0,abc\n", bytes(range(128, 256)) * 3])
def test_what_is_in_no_encoding_is_refused(data: bytes) -> None:
    with pytest.raises(FileRefusedError, match=r"UNKNOWN_ENCODING.*name its encoding"):
        detect(data)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=60).map(str.encode)), st.integers(1, 50))
def test_pieces_change_nothing(data: bytes, piece: int) -> None:
    results: list[object] = []
    for size in (piece, len(data) + 1):
        try:
            results.append(detect(data, piece=size))
        except FileRefusedError as refused:
            results.append(refused.detail)
    assert results[0] == results[1]


def test_marks_are_shown_as_the_bytes_they_stand_for() -> None:
    assert show_marks(open_decoder("utf-8").decode(b"a\xe9\0b", final=True)) == "a\\xe9\\x00b"


def test_marks_are_for_decoding_only() -> None:
    with pytest.raises(UnicodeEncodeError):
        "é".encode("ascii", "rowdock.mark")
