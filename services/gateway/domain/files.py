"""What the gateway makes of an uploaded file's name and its first bytes."""

import unicodedata

MAX_FILE_NAME_CHARS = 255
UNNAMED = "unnamed"

# Control and format characters (among them the overrides of the writing direction), lone surrogates,
# private use, and the line and paragraph separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel 97 workbook"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
    (b"PAR1", "a Parquet file"),
)


def display_name(name: str | None) -> str:
    """``name`` as it can be shown anywhere: last part of the path, no invisible characters, at most 255 long."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(char for char in last if unicodedata.category(char) not in _INVISIBLE)
    cut = " ".join(visible.split())[:MAX_FILE_NAME_CHARS].rstrip()
    return cut if cut.strip(".") else UNNAMED


def foreign_kind(start: bytes) -> str | None:
    """What a file with these first bytes is, where it cannot be text; the claimed type is not asked."""
    return next((kind for signature, kind in _SIGNATURES if start.startswith(signature)), None)
