"""Number formats that are part of what a cell says: leading zeros, and dates where a number cannot be one.

A zero mask is a format that shows nothing but a whole number filled up with zeros, perhaps in groups: ``00000``,
``000\\-00\\-0000``, ``00000" "00``. A number of such a format that is whole and not negative is read as it shows: the
postcode 1067 of the format ``00000`` is ``01067``. All other formats say how a value looks and not what it is: they are
not seen.
"""

import re
from collections.abc import Iterable, Mapping

_COLOUR_OR_LANGUAGE = re.compile(r"\[(?:\$-[0-9A-Fa-f]+|[A-Za-z]+ ?[0-9]*)\]")
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"|\\.|[_*].|\[[^\]]*\]')
_PART = re.compile(r'"([^"]*)"|\\(.)|([0 -])')
_SEPARATORS = frozenset("-/. ()")
_DATE_LETTERS = re.compile(r"[ymdhs]", re.IGNORECASE)
_DATE_IDS = frozenset({*range(14, 23), *range(27, 37), 45, 47, *range(50, 59)})
"""Of formats that are built into Excel; 27 to 36 and 50 to 58 are those of East Asia. 46 is a duration."""
_MOST_CHARS = 255


def zero_mask(code: str) -> str | None:
    """The mask of a format, with ``0`` for every digit, or ``None`` if it is none.

    Args:
        code: as the workbook has it; what stands behind the first ``;`` is for other values.
    """
    if "0" not in code or len(code) > _MOST_CHARS:
        return None
    section = _COLOUR_OR_LANGUAGE.sub("", _first_section(code)).strip()
    mask: list[str] = []
    at = 0
    while at < len(section):
        part = _PART.match(section, at)
        if part is None:
            return None
        quoted, escaped, bare = part.groups()
        literal = quoted if quoted is not None else escaped if escaped is not None else ""
        if not set(literal) <= _SEPARATORS:
            return None
        mask.append(bare or literal)
        at = part.end()
    text = "".join(mask)
    return text if text.count("0") > 1 and text[0] == "0" and text[-1] == "0" else None


def _first_section(code: str) -> str:
    quoted = False
    for at, character in enumerate(code):
        if character == '"':
            quoted = not quoted
        elif character == ";" and not quoted and code[at - 1 : at] != "\\":
            return code[:at]
    return code


def masked(number: float, mask: str) -> str | None:
    """A number as its mask shows it; ``None`` where it is not whole, negative, or too large to have all its digits."""
    if not number.is_integer() or not 0 <= number < 2**53:
        return None
    digits = str(int(number)).zfill(mask.count("0"))
    text: list[str] = []
    left = len(digits)
    for character in reversed(mask):
        if character == "0":
            left -= 1
            text.append(digits[left])
        else:
            text.append(character)
    return digits[:left] + "".join(reversed(text))


def is_date(code: str | int) -> bool:
    """Whether a format, or the number of one that is built in, shows days or times of day, and not a duration."""
    if isinstance(code, int):
        return code in _DATE_IDS
    return not _ELAPSED.search(code) and bool(_DATE_LETTERS.search(_QUOTED.sub("", _first_section(code))))


def cell_formats(elements: Iterable[tuple[str, Mapping[str, str]]]) -> list[str | int]:
    """For each style of cells in ``xl/styles.xml`` its format, or the number of one that is built in.

    Args:
        elements: of the part, in their order, with their attributes.
    """
    codes: dict[int, str] = {}
    styles: list[int] = []
    within = False
    for tag, attributes in elements:
        if tag == "numFmt":
            codes[_whole(attributes.get("numFmtId", ""))] = attributes.get("formatCode", "")
        elif tag == "xf":
            if within:
                styles.append(_whole(attributes.get("numFmtId", "0")))
        elif tag in {"cellXfs", "cellStyles", "cellStyleXfs", "dxfs"}:
            within = tag == "cellXfs"
    return [codes.get(number, number) for number in styles]


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
