"""How texts are spelled that people take for the same: invisible characters, blanks, composed letters.

Two forms, both idempotent:

- ``cleaned``: what is stored where a field trims its text or has a type. Invisible marks and the blanks around the
  text go; what remains is composed (NFC).
- ``compared``: what keys, options and words are compared by. Cleaned, every blank within is a plain one, and an
  e-mail address has its domain in lower case (RFC 5321, 2.4). Case counts everywhere else, and so do leading zeros.

CJK compatibility ideographs stay as they are in ``cleaned``: NFC would show another form of the character, which
people's names care for. They are compared as what they are canonically equivalent to.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

# The classes below are written so that Python's ``re`` and Rust's ``regex`` read them alike.
MARKS: Final = r"\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
"""Characters that nobody sees: soft hyphen, zero width, direction of writing, word joiner, byte order mark."""
JOINERS: Final = r"\u200c\u200d"
"""Zero width as well, but within words of some scripts and in emoji they decide what is seen."""
JOINED: Final = (
    # Arabic, Syriac, NKo, Mandaic; Devanagari to Sinhala; Tibetan, Burmese; Khmer, Mongolian; Tai Tham, Balinese.
    r"\u0600-\u061b\u061d-\u085f\u08a0-\u0dff\u0f00-\u109f\u1780-\u180d\u180f-\u18af\u1a20-\u1aaf\u1b00-\u1bff"
    r"\ua840-\ua87f\ua8e0-\ua8ff\ufb50-\ufdff\ufe70-\ufefe"
    # Emoji, and what modifies them.
    r"\u203c\u2049\u20e3\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\ufe0e\ufe0f"
)
"""What a joiner joins, of the basic plane; all of the planes above it are taken for emoji or Indic scripts."""
BLANKS: Final = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f"
    "\u205f\u3000\u2800\u3164\uffa0"
)
"""White space of Unicode; the empty cell of Braille and the fillers of Hangul, which are blank letters."""
WIDE_BLANKS: Final = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""Blanks within a line other than the plain one and the tab."""
COMPATIBILITY_IDEOGRAPHS: Final = r"\uf900-\ufaff\U0002f800-\U0002fa1f"

ASCII_BLANKS: Final = " \t\n\r\x0b\x0c"

_MARKS = re.compile(f"[{MARKS}]+")
_ABOVE = r"\U00010000-\U0010ffff"
_AFTER_NOTHING = re.compile(f"(^|[^{JOINED}{_ABOVE}{JOINERS}])[{JOINERS}]+")
_BEFORE_NOTHING = re.compile(f"[{JOINERS}]+([^{JOINED}{_ABOVE}{JOINERS}]|$)")
_COMPATIBILITY = re.compile(f"[{COMPATIBILITY_IDEOGRAPHS}]")
_WIDE_BLANKS = re.compile(f"[{WIDE_BLANKS}]")
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")


def cleaned(text: str) -> str:
    """The text without invisible marks and without blanks around it, composed."""
    if text.isascii():
        return text.strip(ASCII_BLANKS)
    text = _MARKS.sub("", text)
    if "\u200c" in text or "\u200d" in text:
        text = _BEFORE_NOTHING.sub(r"\1", _AFTER_NOTHING.sub(r"\1", text))
    text = text.strip(BLANKS)
    return text if _COMPATIBILITY.search(text) else unicodedata.normalize("NFC", text)


def compared(text: str) -> str:
    """The text as it is compared with others."""
    text = cleaned(text)
    if not text.isascii():
        text = _WIDE_BLANKS.sub(" ", unicodedata.normalize("NFC", text))
    if "@" in text and _ADDRESS.fullmatch(text):
        local, _, domain = text.partition("@")
        return f"{local}@{domain.lower()}"
    return text


def compared_word(text: str) -> str:
    """A word as it is compared where case does not count, such as ``Ja``."""
    return compared(text).lower()


def same_words(texts: Iterable[str]) -> frozenset[str]:
    """Words as they are compared where case does not count."""
    return frozenset(map(compared_word, texts))
