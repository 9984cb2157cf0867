"""What stands around the text of a file and is none: byte order marks between joined files, marks of its end."""

from codecs import BOM_UTF8

MAX_END_MARKS = 1024 * 1024
"""Most bytes that a file may be padded with and that are taken for its end; more are part of its last row."""

_NUL, _CTRL_Z = b"\0", b"\x1a"
_LINE_ENDS = (b"\n", b"\r")
_END = _NUL + _CTRL_Z + b"\r\n"
_BOM_PARTS = (BOM_UTF8[:2], BOM_UTF8[:1])


class TextEdges:
    r"""Drops what is no text from UTF-8 that comes in pieces; the result does not depend on these.

    Dropped are byte order marks at the start of lines, as files have that were joined or saved twice, and a file's end
    from the first mark on, if nothing follows but such marks and line ends: Ctrl-Z (0x1A) and NUL, as old systems wrote
    them.
    """

    def __init__(self) -> None:
        self._held = b""
        self._at_line_start = True

    def feed(self, piece: bytes) -> bytes:
        """What is known to be text of all that has come."""
        if not piece:
            return piece
        text = self._held + piece if self._held else piece
        kept = len(text)
        if text[-1] in _END:
            kept = max(len(text.rstrip(_END)), kept - MAX_END_MARKS)
        else:
            kept -= next((len(part) for part in _BOM_PARTS if text.endswith(part)), 0)
        self._held = text[kept:]
        return self._without_boms(text[:kept] if self._held else text)

    def close(self) -> bytes:
        """The rest of the text."""
        held, self._held = self._held, b""
        places = [place for place in (held.find(_NUL), held.find(_CTRL_Z)) if place >= 0]
        return self._without_boms(held[: min(places)] if places else held)

    def _without_boms(self, text: bytes) -> bytes:
        if not text:
            return text
        starts_line, self._at_line_start = self._at_line_start, text.endswith(_LINE_ENDS)
        if text.isascii() or BOM_UTF8 not in text:
            return text
        was_at_line_start = starts_line
        first, *parts = text.split(BOM_UTF8)
        kept = [first]
        starts_line = first.endswith(_LINE_ENDS) if first else starts_line
        for part in parts:
            kept.append(part if starts_line else BOM_UTF8 + part)
            starts_line = part.endswith(_LINE_ENDS) if part else starts_line
        joined = b"".join(kept)
        self._at_line_start = joined.endswith(_LINE_ENDS) if joined else was_at_line_start
        return joined


def trimmed(text: str, *, whole_file: bool) -> str:
    """The start of a file without what is no text, see ``TextEdges``."""
    edges = TextEdges()
    start = edges.feed(text.encode("utf-8", "surrogatepass"))
    return (start + edges.close() if whole_file else start).decode("utf-8", "surrogatepass")
