"""Which encoding of before Unicode a text has: what two detectors say, and what nobody would have written.

Every byte means something in most of these encodings, so that all of them read any file; only language tells them
apart. ``chardetng``, the detector of Firefox, gives the first opinion and ``charset-normalizer`` the second. Against
both stands what a reading looks like: letters of two scripts in a word, a capital behind a small letter, a currency
sign between letters are *strange*, and a reading that is strange in more than a few places is not what was meant.

- Plain Western text is Windows-1252 (as on the web also where it says ISO-8859-1) without a second opinion: that is
  what the first opinion is best at, and what most files are.
- Where it is possible and the first opinion is another, the second decides, but only for Western text of common
  letters; a few words of these are Western in any case.
- Where it is not possible, the first opinion holds if its reading is plain; for Latin letters only if no encoding of
  DOS or of the Macintosh gives another plain one. Or the second opinion holds one of those, if just one is plain.
- Else the file is refused, with the readings that are left.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterable

from chardetng_py import EncodingDetector as Chardetng
from charset_normalizer import from_bytes

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from libs.formats.encodings import web_codec

WESTERN = "cp1252"
_OLD_WESTERN = ("cp850", "cp437", "mac-roman", "iso8859-15")
"""Encodings of DOS and of the old Macintosh, which the web has never seen; and the one that has the euro elsewhere."""
_LATIN = frozenset(
    {"cp1250", "cp1252", "cp1254", "cp1257", "cp1258"} | {f"iso8859-{part}" for part in (2, 3, 4, 10, 13, 14, 15, 16)}
)
_STRANGE_IN = 20
"""One strange place in so many foreign characters is a slip; more is another encoding."""
_FEW = 4
"""Fewer foreign bytes than this say nothing of any encoding but the Western one."""
_FEW_WORDS = 3
_SIGNS_IN_A_ROW = 2
_SHOWN_CHARS = 20
_FOREIGN = re.compile("[^\0-\x7f]+")
_WORD_WITH_FOREIGN = re.compile(r"\w*[^\0-\x7f]+\w*")
_WORD_WITH_FOREIGN_LETTER = re.compile(r"\w*[^\W\0-\x7f]\w*")
_JOINING = frozenset("\u2019\u2018\u00b4\u00b7\u2010\u2011\u2013\u2014\u00ad\u00ae\u00a9\u00aa\u00ba\u3000\u30fb")
"""Signs that stand between letters."""


def find_legacy(window: bytes, *, final: bool) -> str:
    """The codec of a text that is not Unicode.

    Args:
        window: the file from a little before its first byte above 127 on.
        final: whether the file ends with it.

    Raises:
        FileRefusedError: ``UNKNOWN_ENCODING``: it cannot be known.
    """
    detector = Chardetng()
    detector.feed(window, last=final)
    first = web_codec(detector.guess(tld=None, allow_utf8=False)) or WESTERN
    names = dict.fromkeys((first, WESTERN, *(_OLD_WESTERN if first in _LATIN else ())))
    readings = {name: text for name in names if (text := _decoded(window, name, final=final)) is not None}
    plain = {name: text for name, text in readings.items() if _is_plain(text, name)}
    if (western := plain.get(WESTERN)) is not None:
        common = _is_common(western)
        if western == readings.get(first) or (common and first not in plain):
            return WESTERN
        if common and _second_prefers_western(window, first, western):
            return WESTERN
        # Where plain Western text is possible, one opinion is not enough for anything else.
        raise _unknown(window, {name: plain[name] for name in (first, WESTERN) if name in plain})
    if sum(byte > 127 for byte in window[:1_000]) >= _FEW:
        if first in plain and (first not in _LATIN or len({*plain.values()}) == 1):
            return first
        if len({*plain.values()}) == 1 and _second_holds(window, plain):
            return next(iter(plain))
    raise _unknown(window, plain)


def _in_a_row(name: str) -> int:
    """How many letters with signs follow each other in the languages of an encoding."""
    return 2 if name == WESTERN or name in _OLD_WESTERN else 4


def _is_common(text: str) -> bool:
    return all(character.isascii() or character in _COMMON for character in text)


def _second_prefers_western(window: bytes, first: str, text: str) -> bool:
    if len({found[0] for found in _WORD_WITH_FOREIGN_LETTER.finditer(text)}) <= _FEW_WORDS:
        return True  # too little for any detector; and by far most files with a few such words are Western
    best = from_bytes(window, cp_isolation=[first, WESTERN]).best()
    return best is not None and web_codec(best.encoding) == WESTERN


def _decoded(window: bytes, name: str, *, final: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(name)().decode(window, final)
    except UnicodeDecodeError:
        return None


def _second_holds(window: bytes, names: Iterable[str]) -> bool:
    held = {web_codec(match.encoding) for match in from_bytes(window)}
    return any(name in held for name in names)


def _is_plain(text: str, name: str) -> bool:
    strange = [_strange_in(found[0], _in_a_row(name)) for found in _WORD_WITH_FOREIGN.finditer(text)]
    if name == WESTERN:
        return sum(strange) * _STRANGE_IN <= sum(len(found[0]) for found in _FOREIGN.finditer(text))
    if name in _OLD_WESTERN and any(_script(letter) == "GREEK" for letter in set(text) if letter != "\u00b5"):
        return False  # signs of mathematics: a word of them is not Greek, which nobody wrote in these
    return sum(map(bool, strange)) * _STRANGE_IN <= len(strange)


def _strange_in(word: str, most_in_a_row: int) -> int:
    """How many characters of a word stand where nobody would write them."""
    strange, letters, signs, before = 0, 0, 0, ""
    for at, character in enumerate(word):
        if unicodedata.category(character)[0] == "L":
            letters, signs = 0 if character.isascii() else letters + 1, 0
            strange += _is_strange_letter(before, character, too_many=letters > most_in_a_row)
        else:
            letters, signs = 0, 0 if character.isascii() else signs + 1
            strange += _is_strange_sign(before, character, word[at + 1 : at + 2], too_many=signs > _SIGNS_IN_A_ROW)
        before = character
    bare = len(word) > 1 and word.isalpha() and not any(map(str.isascii, word)) and _script(word[0]) == "LATIN"
    return max(strange, int(bare))


def _is_strange_letter(before: str, letter: str, *, too_many: bool) -> bool:
    scripts = {_script(each) for each in (before, letter) if each.isalpha()} - {None}
    mixed = len(scripts) > 1 and not scripts <= _EAST_ASIAN
    capital = letter.isupper() and before.islower() and not (before + letter).isascii()
    return mixed or capital or (too_many and scripts == {"LATIN"})


def _is_strange_sign(before: str, sign: str, behind: str, *, too_many: bool) -> bool:
    category = unicodedata.category(sign)
    if category in {"Cc", "Cn", "Co", "Cs"} or sign in _NEVER:
        return True
    if sign.isascii() or category[0] not in "SPN" or sign in _JOINING or _script(before) in _EAST_ASIAN:
        return False
    between = before.isalpha() and behind.isalpha()
    currency = category == "Sc" and behind.isalpha()
    return between or currency or (sign in _OPENING and before.isalpha()) or too_many


_NEVER = frozenset("\u00a4\u0192\u2020\u2021\u02c6\u02dc\u00a6\u00ac\u2030")
"""What other bytes look like in Windows-1252, and hardly anybody writes."""
_OPENING = frozenset("\u201a„§¿¡")
"""Signs that stand before what they belong to."""
_COMMON = frozenset(
    "äöüßÄÖÜéèêëàâáãåæçîïíìôóòõøœûùúñÿÉÈÊËÀÂÁÃÅÆÇÎÏÍÌÔÓÒÕØŒÛÙÚÑ"
    "\u00a0¡¿ºª°§½¼¾£€©®™µ²³¹·\u00d7±\u00b4¨«»\u2039\u203a\u2018\u2019\u201a“”„\u2013—…•\u00ad"
)
"""What Western files hold beside ASCII."""
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH"})
_SCRIPTS = frozenset({"LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI", *_EAST_ASIAN})


def _script(character: str) -> str | None:
    """The first word of the name of a character, if it is one, where that is a script."""
    word = unicodedata.name(character, "").partition(" ")[0] if character else ""
    return word if word in _SCRIPTS else None


def _unknown(window: bytes, plain: dict[str, str]) -> FileRefusedError:
    foreign = next((byte for byte in window if byte > 127), 0)
    if not plain:
        left = "none of the usual encodings makes sense of it"
    else:
        shown = [f"{_first_foreign(text)!r} in {name}" for name, text in plain.items()]
        left = f"what it begins with may be {' or '.join(shown)}"
    return FileRefusedError(
        RunErrorCode.UNKNOWN_ENCODING,
        f"the file is not UTF-8, and it cannot be told which encoding it has (its first byte above 127 is "
        f"0x{foreign:02X}): {left}; name its encoding in the template, or save the file as UTF-8",
    )


def _first_foreign(text: str) -> str:
    found = _WORD_WITH_FOREIGN.search(text)
    return "".join(character for character in (found[0] if found else "") if character.isprintable())[:_SHOWN_CHARS]
