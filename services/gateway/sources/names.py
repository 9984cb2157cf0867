"""Names of files: bytes on their servers, text everywhere else, and which names are meant."""

from typing import Final
from urllib.parse import unquote_to_bytes

MAX_NAME_BYTES: Final = 255
MAX_PATH_BYTES: Final = 4_096
_HIGH: Final = range(0x80, 0xA0)
"""Control characters of ISO 8859."""


def readable(path: bytes) -> str:
    """A path as text, reversibly: what is no UTF-8, control characters and ``%`` as ``%XX``."""
    return "".join(map(_shown, path.decode(errors="surrogateescape")))


def _shown(char: str) -> str:
    code = ord(char)
    if char == "%" or code < 0x20 or code == 0x7F or code in _HIGH or char in "\u2028\u2029":
        return "".join(f"%{byte:02X}" for byte in char.encode())
    return f"%{code - 0xDC00:02X}" if 0xDC80 <= code <= 0xDCFF else char


def stored(path: str) -> bytes:
    """The path that ``readable`` made the text of."""
    return unquote_to_bytes(path)


def usable_name(name: bytes) -> bool:
    """Whether a server's entry is a name, and nothing that leads elsewhere."""
    return name not in {b"", b".", b".."} and b"/" not in name and b"\0" not in name and len(name) <= MAX_NAME_BYTES


def matches(name: str, pattern: str) -> bool:
    """Whether a name is as a pattern says, in which ``*`` is any text and ``?`` any character.

    In at most as many steps as both are long, multiplied.
    """
    at, sign, star, kept = 0, 0, -1, 0
    while at < len(name):
        if sign < len(pattern) and pattern[sign] == "*":
            star, kept = sign, at
            sign += 1
        elif sign < len(pattern) and pattern[sign] in {"?", name[at]}:
            at, sign = at + 1, sign + 1
        elif star >= 0:
            kept += 1
            at, sign = kept, star + 1
        else:
            return False
    return all(each == "*" for each in pattern[sign:])


def moved_name(entry_id: str, path: bytes, ending: bytes) -> bytes:
    """The name under which a file is put away: its own behind the beginning of its entry's id, so that it never meets
    another one; cut so that ``ending`` fits behind it."""
    prefix = entry_id[:12].encode() + b"-"
    name = path.rpartition(b"/")[2]
    return prefix + name[: MAX_NAME_BYTES - len(prefix) - len(ending)]
