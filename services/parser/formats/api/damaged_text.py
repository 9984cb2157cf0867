"""Text that was damaged before the file was written: no encoding reads it right, all that can be done is to say so."""

import re
from itertools import islice
from typing import Final

_LOST: Final = "\ufffd"
_BETWEEN_WORDS: Final = ' \t\r\n,;|"<>'
_MOST_OF_A_WORD: Final = 40

# What a byte is to those who take it for Windows-1252, or for ISO-8859-1.
_BYTES: Final = {byte: byte for byte in range(256)} | {
    ord(character): byte for byte in range(256) for character in bytes([byte]).decode("cp1252", "ignore")
}
_FOLLOWS: Final = f"[{re.escape(''.join(chr(char) for char, byte in _BYTES.items() if 0x80 <= byte < 0xC0))}]"
# The first byte of Western letters and signs says enough; that of others is a letter too often, and has to come twice.
_TWICE = re.compile(f"[\u00c2\u00c3]{_FOLLOWS}|\u00e2{_FOLLOWS}{{2}}|(?:[\u00c4-\u00f4]{_FOLLOWS}{{1,3}}){{2}}")
_MOST_LOOKED_AT: Final = 100


def damage(text: str) -> str | None:
    """What seems to be wrong with a text that was read as UTF-8, to follow ``encoding: …``; ``None`` for nearly all.

    - Characters that some program could not read and replaced (U+FFFD).
    - UTF-8 that was taken for Windows-1252 and encoded once more: ``MÃ¼ller`` for ``Müller``.
    """
    if (lost := text.find(_LOST)) >= 0:
        return f"characters of the text were lost before, as in {_word(text, lost)!r}; export the file again"
    for found in islice(_TWICE.finditer(text), _MOST_LOOKED_AT):
        word = _word(text, found.start())
        if (once := _decoded_once(word)) is not None:
            return f"texts seem to be encoded twice, {word!r} for {once!r}; export the file again as UTF-8"
    return None


def _word(text: str, at: int) -> str:
    """The word that ``text[at]`` is in; of a long one what is near."""
    first, last = at, at
    while first > max(0, at - _MOST_OF_A_WORD) and text[first - 1] not in _BETWEEN_WORDS:
        first -= 1
    while last < min(len(text), at + _MOST_OF_A_WORD) and text[last] not in _BETWEEN_WORDS:
        last += 1
    return text[first:last]


def _decoded_once(word: str) -> str | None:
    try:
        return bytes(_BYTES[ord(character)] for character in word).decode()
    except (KeyError, UnicodeDecodeError):
        return None
