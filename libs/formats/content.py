"""What a file is by its first bytes, and whether a template's ``file_type`` can read that.

The name of a file and the type that its sender claims are never asked: both lie. The gateway refuses an
upload by this with 415, and the parser asks again for files that came another way.
"""

import re
from dataclasses import dataclass, replace

from libs.formats.file_types import Kind, chosen_for, file_types

HEAD_BYTES = 4096
"""How many of a file's first bytes are looked at."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file is.

    Attributes:
        kind: as far as it matters to who reads it.
        description: in words, with an article: ``a PDF document``.
        file_types: registered formats whose files begin like this one.
    """

    kind: Kind
    description: str
    file_types: tuple[str, ...] = ()


# A signature of letters only could begin a text too: those must be followed by a control character soon.
_SIGNATURES: tuple[tuple[Kind, str, re.Pattern[bytes]], ...] = (
    ("zip", "an empty ZIP archive", re.compile(rb"PK\x05\x06", re.DOTALL)),
    ("zip", "a ZIP archive or an Excel workbook (.xlsx)", re.compile(rb"PK(?:\x03\x04|\x07\x08)", re.DOTALL)),
    (
        "ole",
        "an old Excel workbook (.xls) or another Office document",
        re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", re.DOTALL),
    ),
    ("binary", "a PDF document", re.compile(rb"\s{0,64}%PDF-\d", re.DOTALL)),
    ("binary", "an RTF document", re.compile(rb"\{\\rtf\d", re.DOTALL)),
    ("binary", "a PostScript document", re.compile(rb"%!PS-", re.DOTALL)),
    ("binary", "a gzip archive", re.compile(rb"\x1f\x8b", re.DOTALL)),
    ("binary", "a bzip2 archive", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", re.DOTALL)),
    ("binary", "an xz archive", re.compile(rb"\xfd7zXZ\x00", re.DOTALL)),
    ("binary", "a 7z archive", re.compile(rb"7z\xbc\xaf\x27\x1c", re.DOTALL)),
    ("binary", "a zstd archive", re.compile(rb"\x28\xb5\x2f\xfd", re.DOTALL)),
    ("binary", "an lz4 archive", re.compile(rb"\x04\x22\x4d\x18", re.DOTALL)),
    ("binary", "a compress archive (.Z)", re.compile(rb"\x1f\x9d", re.DOTALL)),
    ("binary", "a RAR archive", re.compile(rb"Rar!\x1a\x07", re.DOTALL)),
    ("binary", "a tar archive", re.compile(rb"(?=.{0,256}\x00).{257}ustar[\x00 ]", re.DOTALL)),
    ("binary", "a Windows program", re.compile(rb"MZ(?=.{0,62}[\x00-\x08])", re.DOTALL)),
    ("binary", "a program", re.compile(rb"\x7fELF|[\xce\xcf]\xfa\xed\xfe|\xfe\xed\xfa[\xce\xcf]", re.DOTALL)),
    ("binary", "a Java class or a program", re.compile(rb"\xca\xfe\xba\xbe", re.DOTALL)),
    ("binary", "a PNG image", re.compile(rb"\x89PNG\r\n", re.DOTALL)),
    ("binary", "a JPEG image", re.compile(rb"\xff\xd8\xff", re.DOTALL)),
    ("binary", "a GIF image", re.compile(rb"GIF8[79]a(?=.{0,58}[\x00-\x08])", re.DOTALL)),
    ("binary", "a TIFF image", re.compile(rb"II\*\x00|MM\x00\*", re.DOTALL)),
    ("binary", "a bitmap image", re.compile(rb"BM.{4}\x00{4}", re.DOTALL)),
    ("binary", "a WebP image", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    (
        "binary",
        "a sound or a video",
        re.compile(rb"RIFF.{4}(?:WAVE|AVI )|\x00\x00\x00.ftyp|ID3[\x02-\x04]\x00|OggS\x00", re.DOTALL),
    ),
    ("binary", "an SQLite database", re.compile(rb"SQLite format 3\x00", re.DOTALL)),
    ("binary", "a Parquet file", re.compile(rb"PAR1(?=.{0,60}[\x00-\x08])", re.DOTALL)),
    ("binary", "an Avro file", re.compile(rb"Obj\x01", re.DOTALL)),
    ("binary", "an ORC file", re.compile(rb"ORC(?=.{0,61}[\x00-\x08])", re.DOTALL)),
    ("binary", "an Arrow file", re.compile(rb"ARROW1\x00\x00", re.DOTALL)),
    ("binary", "an HDF5 file", re.compile(rb"\x89HDF\r\n", re.DOTALL)),
)
_BOMS = (
    # UTF-32 first: its little-endian mark starts with that of UTF-16.
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_HIGH_BYTE_SHARE = 0.5
_CONTROL_SHARE = 0.3
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_PROLOGUE = r"(?>(?:<\?.*?\?>|<!--.*?-->)\s*)*+"
_HTML = re.compile(_PROLOGUE + r"(?:<!doctype\s+html\b|<html[\s>])", re.DOTALL | re.IGNORECASE)
_XML_OF_OTHERS = (
    (
        "an Excel 2003 workbook in XML (SpreadsheetML)",
        re.compile(_PROLOGUE + r"<(?:\w+:)?Workbook\b[^>]*\burn:schemas-microsoft-com:office:spreadsheet\b", re.DOTALL),
    ),
    (
        "a flat OpenDocument file (.fods, .fodt)",
        re.compile(_PROLOGUE + r"<(?:\w+:)?document\b[^>]*\burn:oasis:names:tc:opendocument:", re.DOTALL),
    ),
    (
        "an export of FileMaker whose cells have no names (FMPXMLRESULT)",
        re.compile(_PROLOGUE + r"<(?:\w+:)?FMPXMLRESULT\b", re.DOTALL),
    ),
    ("a Word document in XML", re.compile(_PROLOGUE + r"<(?:w:wordDocument|pkg:package)\b", re.DOTALL)),
    ("an SVG image", re.compile(_PROLOGUE + r"<(?:svg:)?svg\b", re.DOTALL)),
)
"""Documents whose elements say how they look: their cells are none of the columns that a template can name."""
_XML = re.compile(r"<(?:\?xml\b|!doctype\b|!--|[^\W\d]|:)", re.IGNORECASE)


def recognise(head: bytes) -> Content:
    """What a file is that starts with ``head``: up to ``HEAD_BYTES`` bytes, all of a shorter file."""
    head = head[:HEAD_BYTES]
    registered = file_types().values()
    claimed = tuple(each.name for each in registered if each.starts_with and head.startswith(each.starts_with))
    return replace(_recognise(head), file_types=claimed)


def _recognise(head: bytes) -> Content:
    if not head:
        return Content("empty", "an empty file")
    for kind, description, signature in _SIGNATURES:
        if signature.match(head):
            return Content(kind, description)
    text = _text(head)
    unpadded = text.rstrip("\0\x1a")  # old systems pad files
    if len(_CONTROLS.findall(unpadded)) > _CONTROL_SHARE * len(unpadded) or (text and not unpadded):
        return Content("binary", "a file of binary data")
    start = text.lstrip("\ufeff \t\r\n\f\v\xa0")
    if _HTML.match(start):
        return Content("html", "an HTML page")
    for description, root in _XML_OF_OTHERS:
        if root.match(start):
            return Content("binary", description)
    if _XML.match(start):
        return Content("xml", "an XML document")
    if start.startswith(("{", "[")):
        return Content("json", "a JSON document")
    return Content("text", "a text file")


def _text(head: bytes) -> str:
    """``head`` decoded well enough to tell its first signs and its control characters."""
    mark, encoding = next(((mark, name) for mark, name in _BOMS if head.startswith(mark)), (b"", None))
    # One byte per character is enough for anything but UTF-16 and UTF-32: their ASCII is ASCII.
    return head[len(mark) :].decode(encoding or _wide_encoding(head) or "latin-1", "ignore")


def _wide_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte order mark, by its high bytes.

    They are zero for ASCII, and below 9 for all of Latin, Greek, Cyrillic, Hebrew and Arabic.
    """
    if len(head) < 2:
        return None
    places = [head[place::4] or head[place - 2 :: 4] for place in range(4)]
    high = [sum(byte < 9 for byte in bytes_) > _HIGH_BYTE_SHARE * len(bytes_) for bytes_ in places]
    match high:
        case [False, True, True, True]:
            return "utf-32-le"
        case [True, True, True, False]:
            return "utf-32-be"
        case [False, True, False, True]:
            return "utf-16-le"
        case [True, False, True, False]:
            return "utf-16-be"
        case _:
            return None


def refusal(file_type: str | None, content: Content) -> str | None:
    """Why a file cannot be read as ``file_type``, in a sentence for its sender, or ``None`` where it may be.

    An empty file is never refused here: its run ends with an error of its own.

    Args:
        file_type: of the template; ``None`` where the file decides.
        content: of the file.
    """
    if content.kind == "empty":
        return None
    if file_type is None:
        if content.file_types or content.kind in chosen_for(content.kind).reads:
            return None
        expected = _any_of([each.expected for each in file_types().values() if each.chosen_for or each.starts_with])
    else:
        wanted = file_types().get(file_type)
        if wanted is None or (file_type in content.file_types if wanted.starts_with else content.kind in wanted.reads):
            return None
        expected = wanted.expected
    return f"the file is {content.description}, but the template reads {expected}; {_remedy(expected, content)}"


def doubt(file_type: str, content: Content) -> str | None:
    """What a file may be after all that is read as text of another kind, with a remedy; ``None`` where nothing says so.

    A first line of CSV may begin like a JSON or an XML document, so it is only said where the file is refused anyway.
    """
    if content.file_types or content.kind not in {"json", "xml"} or chosen_for(content.kind).name == file_type:
        return None
    return (
        f"the file begins like {content.description}: if it is one, set the template's file_type to "
        f"{chosen_for(content.kind).name!r} instead of {file_type!r}, or leave it out"
    )


def _any_of(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _remedy(expected: str, content: Content) -> str:
    if content.file_types:
        return f"save it as {expected}, or set the template's file_type to {file_type_of(content)!r}"
    match content.kind:
        case "html":
            return (
                "a login or error page was saved instead of the export, or a program has written its table as a page: "
                "look into it, then download the file again, or open it in a spreadsheet and save it as .xlsx or CSV"
            )
        case "zip" | "ole":
            other = file_type_of(content)
            return f"save or export it as {expected}, or set the template's file_type to {other!r} if it is a workbook"
        case "binary":
            return f"unpack it if it is an archive, or export the data as {expected}"
        case _:
            return f"save it as {expected}, or set the template's file_type to {file_type_of(content)!r}"


def file_type_of(content: Content) -> str:
    """The format that reads such a file, where the template leaves it open."""
    return content.file_types[0] if content.file_types else chosen_for(content.kind).name
