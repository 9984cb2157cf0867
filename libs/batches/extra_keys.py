"""Keys of a record's ``extra``: headers of users' files, made so that they can do no harm.

MongoDB lets names with ``$`` and ``.`` be inserted, and then takes them for operators and paths when they are
queried or updated; JavaScript takes some names for its own. In a subdocument no name can be one of the record's.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence

from libs.batches.columns import extra_column

MAX_KEY_CHARS = 120
_REPLACED = str.maketrans({".": "\uff0e", "$": "\uff04"})
_MEANT_BY_JAVASCRIPT = frozenset({"__proto__", "constructor", "prototype"})
_LONGEST_ENDING = 8
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class ExtraKeys:
    """Gives out the keys of one ``extra``: no two are equal, in whatever case."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        """``taken``: keys that it has already."""
        self._taken = {key.casefold() for key in taken}
        self._counts: dict[str, int] = {}

    def key(self, header: str, number: int) -> str:
        """The key for ``header``, which depends on the headers before it.

        Args:
            header: any text.
            number: stands in for a header without a visible character.
        """
        key = safe_key(header) or f"column_{number}"
        # Keys with a common stem share the counter: else many long headers would search it all, one by one.
        stem = key[: MAX_KEY_CHARS - _LONGEST_ENDING]
        while key.casefold() in self._taken:
            count = self._counts.get(stem.casefold(), 1) + 1
            self._counts[stem.casefold()] = count
            key = f"{stem}_{count}"
        self._taken.add(key.casefold())
        return key


def safe_key(header: str) -> str:
    """``header`` as a key, perhaps empty; a key stays as it is.

    NFC, at most 120 characters, no control characters, ``.`` and ``$`` as their full-width forms, and not one of
    the names that mean something to every JavaScript object.
    """
    visible = "".join(letter for letter in header if unicodedata.category(letter) not in {"Cc", "Cs"})
    key = unicodedata.normalize("NFC", visible.translate(_REPLACED)).strip()[:MAX_KEY_CHARS].rstrip()
    return f"{key}_" if key in _MEANT_BY_JAVASCRIPT else key


def extra_columns(headers: Sequence[str], unmatched: Iterable[int]) -> tuple[tuple[str, str], ...]:
    """Column of the checked batch and key in ``extra``, for every column of the file that no field reads.

    Args:
        headers: of all columns of the file.
        unmatched: indexes into ``headers``.
    """
    keys = ExtraKeys()
    return tuple((extra_column(index), keys.key(headers[index], index + 1)) for index in unmatched)


class Overflow:
    """What the records of a batch have beyond the file's columns, under keys that their ``extra`` can hold."""

    def __init__(self, taken: Iterable[str]) -> None:
        """``taken``: keys of the columns."""
        self._taken = list(taken)
        self._keys: dict[tuple[str, ...], list[str]] = {}

    def entries(self, text: str) -> dict[str, str | None]:
        """Keys and values of one record.

        Args:
            text: a JSON object of texts and nulls. Half a surrogate pair, which JSON can write and UTF-8
                cannot, becomes U+FFFD.
        """
        found: dict[str, str | None] = json.loads(text)
        names = tuple(found)
        if names not in self._keys:
            keys = ExtraKeys(self._taken)
            self._keys[names] = [keys.key(name, number) for number, name in enumerate(names, len(self._taken) + 1)]
        values: Iterable[str | None] = found.values()
        if "\\u" in text:
            values = (None if value is None else _LONE_SURROGATE.sub("\ufffd", value) for value in values)
        return dict(zip(self._keys[names], values, strict=True))
