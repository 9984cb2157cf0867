"""Names of columns as they stand in files, made clean, unique and comparable."""

import re
import unicodedata
from collections.abc import Sequence

from services.parser.formats.api.encoding import show_marks

_MAX_NOTES_PER_KIND = 20
_LISTED_NAMES = 30


def clean_name(cell: str) -> str:
    """NFC, without control characters, byte order marks and surrounding whitespace."""
    if cell.isascii() and cell.isprintable():
        return cell.strip()  # as it comes out below, for less
    kept = "".join(" " if c in "\t\r\n" else c for c in cell if unicodedata.category(c) != "Cc" or c in "\t\r\n")
    return show_marks(unicodedata.normalize("NFC", kept.replace("\ufeff", "")).strip())


def column_names(cells: Sequence[str], max_chars: int) -> tuple[tuple[str, ...], list[str]]:
    """Unique column names of a header and what had to be changed.

    A name that stands in the header keeps its first place; the names made here avoid all of them.
    """
    cleaned = [clean_name(cell) for cell in cells]
    cut = [name[:max_chars] for name in cleaned]
    long_names = [
        f"column {position}: header cut to {max_chars} characters"
        for position, name in enumerate(cleaned, 1)
        if len(name) > max_chars
    ]
    taken = set(cut)
    seen: set[str] = set()
    next_number: dict[str, int] = {}
    names: list[str] = []
    made_up: list[str] = []
    for position, given in enumerate(cut, 1):
        name = given
        if not given or given in seen:
            base = given or f"column_{position}"
            number = next_number.get(base, 2)
            name = base if not given else f"{base}_{number}"
            while name in taken:
                name = f"{base}_{number}"
                number += 1
            next_number[base] = number
            taken.add(name)
            made_up.append(f"column {position}: {'repeated' if given else 'empty'} header, read as {name!r}")
        seen.add(given)
        names.append(name)
    return tuple(names), [*_capped(long_names), *_capped(made_up)]


def numbered_names(count: int) -> tuple[str, ...]:
    """``column_1``, ``column_2``, … for a file without a header."""
    return tuple(f"column_{number}" for number in range(1, count + 1))


def is_numbered(name: str) -> bool:
    """Whether a name is one of ``numbered_names``."""
    return re.fullmatch(r"column_[1-9]\d*", name) is not None


def normalised(name: str) -> str:
    """``name`` without regard to case and to runs of space, ``_`` and ``-``."""
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFC", name)).strip().casefold()


def squeezed(name: str) -> str:
    """``name`` as letters and digits only, without regard to case: ``E-Mail`` and ``email`` are the same."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(filter(str.isalnum, folded))


def counted(number: int, what: str) -> str:
    """``1 column``, ``2 columns``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def listed(names: Sequence[str]) -> str:
    """Names for a message, the first ones of many."""
    more = len(names) - _LISTED_NAMES
    return ", ".join(map(repr, names[:_LISTED_NAMES])) + (f" and {more:,} more" if more > 0 else "")


def _capped(notes: list[str]) -> list[str]:
    more = len(notes) - _MAX_NOTES_PER_KIND
    return notes if more <= 0 else [*notes[:_MAX_NOTES_PER_KIND], f"… and {more:,} more columns like these"]


def nested_value(name: str, inner: str) -> str:
    """What is wrong with a record whose value of a column has others within it, to follow ``record 17: ``.

    Args:
        name: of the column.
        inner: a dotted name of one of the values within it.
    """
    return (
        f"in the column {name[:300]!r} stands not one value, but others within it; name the one that is meant in the "
        f"template, such as {inner[:300]!r}"
    )
