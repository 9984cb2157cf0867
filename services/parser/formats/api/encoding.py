"""Which encoding a file has, decided from its bytes alone and in the same way however they arrive.

Nothing is ever replaced silently: a byte that the encoding does not know is decoded to a *mark*,
the lone surrogate ``U+DC00 + byte``, which no text can hold, and its row becomes an issue.
"""

import codecs
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from libs.formats.encodings import file_codec, web_codec
from services.parser.formats.api.damaged_text import damage
from services.parser.formats.api.legacy import find_legacy

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

WINDOW_BYTES = 64 * 1024
"""How much is looked at: from the file's start, and again from its first non-ASCII byte."""

CONTEXT_BYTES = 32
"""How much is looked at before that byte: the letters that it stands behind."""

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
_C1 = re.compile("[\x80-\x9f]")
_JAPANESE_MAIL = re.compile(rb"\x1b\$[@B]|\x1b\([JI]")
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
    codec = _known(encoding, file_codec(encoding))
    decoder = codecs.getincrementaldecoder(codec)("rowdock.mark")
    return _WithoutControls(decoder) if codec in _with_controls() else decoder


class _WithoutControls(codecs.IncrementalDecoder):
    """Turns what another decoder reads as a control character of ISO 6429 into marks: no text is meant to hold one."""

    def __init__(self, decoder: codecs.IncrementalDecoder) -> None:
        super().__init__("rowdock.mark")
        self._decoder = decoder

    def decode(self, input: "ReadableBuffer", final: bool = False) -> str:  # noqa: A002, FBT001, FBT002 (as inherited)
        text = self._decoder.decode(input, final)
        return text if text.isascii() else _C1.sub(lambda found: chr(0xDC00 + ord(found[0])), text)


@cache
def _with_controls() -> frozenset[str]:
    """Codecs of one byte a character that read bytes from 0x80 to 0x9F as controls.

    Not ISO-8859-1: that means Windows-1252, except in plans of earlier releases, which are read as they were.
    """
    return frozenset({f"iso8859-{part}" for part in (*range(2, 12), *range(13, 17))} | {"cp932", "tis-620"})


def is_single_byte(codec: str) -> bool:
    """Whether every byte is a character of its own."""
    decoder = codecs.getincrementaldecoder(codec)
    return all(len(decoder("replace").decode(bytes([byte]))) == 1 for byte in range(256))


def line_ends(text: bytes) -> int:
    r"""How many ``\n`` there are; of large texts faster than by ``count``."""
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("\n")))


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

    An override (the template's) wins, but over a byte order mark of UTF-8. Otherwise: byte order mark; UTF-16 and
    UTF-32 by their pattern of NULs; and for anything else the 64 KiB from the first non-ASCII byte on decide, which may
    be far into the file: UTF-8 where they are valid or mostly valid (the bad rows become issues), else what
    ``legacy`` finds. A file without non-ASCII bytes is UTF-8.
    """

    def __init__(self, override: str | None = None) -> None:
        self._override = None if override is None else _codec_name(override)
        self._head: bytearray | None = bytearray()
        self._before = b""
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
            seen = self._before + chunk
            found = None if seen.isascii() else _NON_ASCII.search(seen)  # to say that there is none takes it long
            if found is None:
                self._before = seen[-CONTEXT_BYTES:]
                return
            chunk = seen[max(0, found.start() - CONTEXT_BYTES) :]
        self._window += chunk[: WINDOW_BYTES - len(self._window)]


def _codec_name(name: str) -> str:
    """The codec that a template's encoding means."""
    return _known(name, web_codec(name))


def _known(name: str, codec: str | None) -> str:
    if codec is None:
        raise FileRefusedError(
            RunErrorCode.UNKNOWN_ENCODING,
            f"the template's encoding {name!r} is not known; use the name of one, such as utf-8, utf-16, cp1252 or "
            "iso8859-2, or leave it out to have it found out",
        )
    return codec


def _judge_head(head: bytes, override: str | None) -> Encoding | None:
    bom, bom_encoding = next(((bom, name) for bom, name in _BOMS if head.startswith(bom)), (b"", ""))
    utf16 = _wide_without_bom(head)
    if (
        bom
        and override is not None
        and bom_encoding not in _FAMILIES.get(override, ())
        and _is_mark(bom_encoding, head)
    ):
        note = f"encoding: {bom_encoding}, by its byte order mark, although the template says {override}"
        return Encoding(bom_encoding, len(bom), note)
    if override is not None:
        family = _FAMILIES.get(override, (override,))
        if bom_encoding in family:
            return Encoding(bom_encoding, len(bom))
        return Encoding(utf16 if utf16 is not None and utf16 in family else family[0])
    if bom:
        text = open_decoder(bom_encoding).decode(head[len(bom) :])
        return Encoding(bom_encoding, len(bom), _with_damage(f"encoding: {bom_encoding}, by its byte order mark", text))
    if utf16:
        return Encoding(utf16, 0, f"encoding: {utf16}, detected by its zero bytes")
    text = head.rstrip(b"\0\x1a")  # old systems pad files
    controls = len(text) - len(text.translate(None, _CONTROLS))
    if controls > _BINARY_SHARE * len(text) or (head and not text):
        raise FileRefusedError(
            RunErrorCode.NOT_TEXT,
            "the file holds binary data, not text; save or export it in a text format such as CSV",
        )
    if _JAPANESE_MAIL.search(head) and head.isascii():
        return Encoding("iso2022_jp", 0, "encoding: iso2022_jp, detected by its escapes")
    return None


def _with_damage(note: str, text: str) -> str:
    wrong = None if text.isascii() else damage(text)
    return note if wrong is None else f"{note}; {wrong}"


def _is_mark(encoding: str, head: bytes) -> bool:
    """Whether the first bytes can be nothing but a byte order mark, whatever the template says."""
    return encoding == "utf-8" or b"\0" in head


def _wide_without_bom(head: bytes) -> str | None:
    """UTF-32 has a NUL in two of four bytes; UTF-16 of ASCII in every second one, of others in line ends and digits."""
    quads = len(head) // 4
    nuls = [head[place : 4 * quads : 4].count(0) for place in range(4)]
    if quads > 1 and nuls[2] == nuls[3] == quads and nuls[0] + nuls[1] < 2 * quads:
        return "utf-32-le"
    if quads > 1 and nuls[0] == nuls[1] == quads and nuls[2] + nuls[3] < 2 * quads:
        return "utf-32-be"
    pairs = len(head) // 2
    even, odd = head[: 2 * pairs : 2], head[1 : 2 * pairs : 2]
    for name, low, high in (("utf-16-le", even, odd), ("utf-16-be", odd, even)):
        if high.count(0) > max(1, _UTF16_NUL_SHARE * pairs) and low.count(0) * 10 <= high.count(0):
            return name
        if _is_wide(low, high, name, head[: 2 * pairs]):
            return name
    return None


def _is_wide(low: bytes, high: bytes, name: str, head: bytes) -> bool:
    """Whether this is UTF-16 of a script that is not Latin: its line ends and digits have NULs, nothing else has."""
    if 0 in low or high.count(0) * 50 < len(high):
        return False
    feeds = [high[at] for at, byte in enumerate(low) if byte == 0x0A]
    if 0x0A in high or feeds.count(0) < 2 or feeds.count(0) * 10 < 9 * len(feeds):
        return False
    text = codecs.getincrementaldecoder(name)("replace").decode(head)
    return "\ufffd" not in text and all(ord(character) > 0x1F or character in "\t\r\n" for character in text)


def _judge_window(window: bytes, *, final: bool) -> Encoding:
    """``window`` starts a little before the file's first non-ASCII byte; it is empty where there is none."""
    if not window:
        return Encoding("utf-8", 0, "encoding: utf-8, the file is plain ASCII")
    text = open_decoder("utf-8").decode(window, final)
    bad = len(MARKS.findall(text))
    if not bad:
        return Encoding("utf-8", 0, _with_damage("encoding: utf-8, detected", text))
    # Valid sequences of several bytes hardly ever come about by chance in other encodings.
    good = sum(not character.isascii() for character in text) - bad
    if good > bad:
        return Encoding("utf-8", 0, "encoding: utf-8, detected; rows with bytes that are not UTF-8 are rejected")
    window = window.rstrip(b"\0\x1a") if final else window
    if b"\0" in window:
        raise FileRefusedError(
            RunErrorCode.UNKNOWN_ENCODING,
            "the file is neither UTF-8 nor a text of one byte a character (it holds byte 0x00); name its encoding in "
            "the template, or save the file as UTF-8",
        )
    codec = find_legacy(window, final=final)
    return Encoding(codec, 0, f"encoding: {codec}, detected because the file is not valid UTF-8")
