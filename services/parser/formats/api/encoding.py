"""Which encoding a file has, decided from its bytes alone and in the same way however they arrive.

Nothing is ever replaced silently: a byte that the encoding does not know is decoded to a *mark*,
the lone surrogate ``U+DC00 + byte``, which no text can hold, and its row becomes an issue.
"""

import codecs
import re
from dataclasses import dataclass

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from libs.formats.encodings import file_codec

WINDOW_BYTES = 64 * 1024
"""How much is looked at: from the file's start, and again from its first non-ASCII byte."""

MARKS = re.compile("[\udc00-\udcff]")

_BOMS = (
    # UTF-32 first: its little-endian mark starts with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FAMILIES = {
    "utf-8": ("utf-8",),
    "utf-8-sig": ("utf-8",),
    "utf-16": ("utf-16-le", "utf-16-be"),
    "utf-16-le": ("utf-16-le",),
    "utf-16-be": ("utf-16-be",),
    "utf-32": ("utf-32-le", "utf-32-be"),
    "utf-32-le": ("utf-32-le",),
    "utf-32-be": ("utf-32-be",),
}
"""Codec names that a template may give, and the byte order marks that belong to them."""

_CONTROLS = bytes(range(9)) + bytes(range(14, 27)) + bytes(range(28, 32))
_BINARY_SHARE = 0.3
_UTF16_NUL_SHARE = 0.3
_CP1252_UNDEFINED = re.compile(rb"[\x00\x81\x8d\x8f\x90\x9d]")
_NON_ASCII = re.compile(rb"[\x80-\xff]")


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    # A unit of UTF-16/32 is bad as a whole. Elsewhere one byte: a multi-byte codec may include the
    # line end that follows a cut-off character.
    end = error.end if error.encoding.startswith(("utf-16", "utf16", "utf-32", "utf32")) else error.start + 1
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : end]), end


codecs.register_error("rowdock.mark", _mark)


def open_decoder(encoding: str) -> codecs.IncrementalDecoder:
    """A decoder that turns undecodable bytes into marks.

    Raises:
        FileRefusedError: ``UNKNOWN_ENCODING``.
    """
    return codecs.getincrementaldecoder(_codec_name(encoding))("rowdock.mark")


def show_marks(text: str) -> str:
    r"""``text`` with marks and NULs written as ``\xNN``: what can be stored and shown."""
    return re.sub("[\0\udc00-\udcff]", lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text)


@dataclass(frozen=True, slots=True)
class Encoding:
    """The decision.

    Attributes:
        name: Python codec name that decodes the file after its byte order mark.
        bom_bytes: length of that mark, in bytes.
        note: how it was found, for the owner of the run; ``None`` where the template gave it.
    """

    name: str
    bom_bytes: int = 0
    note: str | None = None


class EncodingDetector:
    """Is fed a file from its start until it knows the encoding.

    An override (the template's) wins. Otherwise: byte order mark; UTF-16 by its pattern of NULs; and
    for anything else the 64 KiB from the first non-ASCII byte on decide, which may be far into the
    file: UTF-8 where they are valid or mostly valid (the bad rows become issues), else Windows-1252
    where they hold none of its five undefined bytes. A file without non-ASCII bytes is UTF-8.
    """

    def __init__(self, override: str | None = None) -> None:
        self._override = None if override is None else _codec_name(override)
        self._head: bytearray | None = bytearray()
        self._window = bytearray()
        self._encoding: Encoding | None = None

    def feed(self, chunk: bytes) -> Encoding | None:
        """The encoding, as soon as it is known.

        Raises:
            FileRefusedError: ``NOT_TEXT``, ``UNKNOWN_ENCODING``.
        """
        if self._encoding is None and self._head is not None:
            missing = WINDOW_BYTES - len(self._head)
            self._head += chunk[:missing]
            chunk = chunk[missing:]
            if len(self._head) == WINDOW_BYTES:
                self._judge_head(self._head)
        if self._encoding is None and self._head is None:
            self._collect(chunk)
            if len(self._window) == WINDOW_BYTES:
                self._encoding = _judge_window(bytes(self._window), final=False)
        return self._encoding

    def close(self) -> Encoding:
        """The encoding of the file that ends here.

        Raises:
            FileRefusedError: ``NOT_TEXT``, ``UNKNOWN_ENCODING``.
        """
        if self._encoding is None and self._head is not None:
            self._judge_head(self._head)
        if self._encoding is None:
            self._encoding = _judge_window(bytes(self._window), final=True)
        return self._encoding

    def _judge_head(self, head: bytearray) -> None:
        self._encoding = _judge_head(bytes(head), self._override)
        self._head = None
        if self._encoding is None:
            self._collect(bytes(head))

    def _collect(self, chunk: bytes) -> None:
        if not self._window:
            found = _NON_ASCII.search(chunk)
            chunk = chunk[found.start() :] if found else b""
        self._window += chunk[: WINDOW_BYTES - len(self._window)]


def _codec_name(name: str) -> str:
    codec = file_codec(name)
    if codec is None:
        raise FileRefusedError(
            RunErrorCode.UNKNOWN_ENCODING,
            f"the template's encoding {name!r} is not known; use the name of one, such as utf-8, utf-16, cp1252 or "
            "iso8859-1, or leave it out to have it found out",
        )
    return codec


def _judge_head(head: bytes, override: str | None) -> Encoding | None:
    bom, bom_encoding = next(((bom, name) for bom, name in _BOMS if head.startswith(bom)), (b"", ""))
    utf16 = _utf16_without_bom(head)
    if override is not None:
        family = _FAMILIES.get(override, (override,))
        if bom_encoding in family:
            return Encoding(bom_encoding, len(bom))
        return Encoding(utf16 if utf16 is not None and utf16 in family else family[0])
    if bom:
        return Encoding(bom_encoding, len(bom), f"encoding: {bom_encoding}, by its byte order mark")
    if utf16:
        return Encoding(utf16, 0, f"encoding: {utf16}, detected by its zero bytes")
    text = head.rstrip(b"\0\x1a")  # old systems pad files
    controls = len(text) - len(text.translate(None, _CONTROLS))
    if controls > _BINARY_SHARE * len(text) or (head and not text):
        raise FileRefusedError(
            RunErrorCode.NOT_TEXT,
            "the file holds binary data, not text; save or export it in a text format such as CSV",
        )
    return None


def _utf16_without_bom(head: bytes) -> str | None:
    """Text of mostly ASCII characters has a NUL in every second byte (and UTF-32 in three of four)."""
    pairs = len(head) // 2
    even, odd = head[: 2 * pairs : 2].count(0), head[1 : 2 * pairs : 2].count(0)
    if odd > max(1, _UTF16_NUL_SHARE * pairs) and even * 10 <= odd:
        return "utf-16-le"
    if even > max(1, _UTF16_NUL_SHARE * pairs) and odd * 10 <= even:
        return "utf-16-be"
    return None


def _judge_window(window: bytes, *, final: bool) -> Encoding:
    """``window`` starts at the file's first non-ASCII byte; it is empty where there is none."""
    if not window:
        return Encoding("utf-8", 0, "encoding: utf-8, the file is plain ASCII")
    text = open_decoder("utf-8").decode(window, final)
    bad = len(MARKS.findall(text))
    if not bad:
        return Encoding("utf-8", 0, "encoding: utf-8, detected")
    # Valid sequences of several bytes hardly ever come about by chance in other encodings.
    good = sum(not character.isascii() for character in text) - bad
    if good > bad:
        return Encoding("utf-8", 0, "encoding: utf-8, detected; rows with bytes that are not UTF-8 are rejected")
    undefined = _CP1252_UNDEFINED.search(window)
    if undefined:
        raise FileRefusedError(
            RunErrorCode.UNKNOWN_ENCODING,
            f"the file is neither UTF-8 nor Windows-1252 (it holds byte 0x{undefined[0][0]:02X}); "
            "name its encoding in the template, or save the file as UTF-8",
        )
    return Encoding("cp1252", 0, "encoding: cp1252 (Windows-1252), detected because the file is not valid UTF-8")
