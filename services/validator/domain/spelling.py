"""The spellings of ``libs.contracts.spelling``, for columns.

Most columns are plain ASCII, which a look at the bytes of a batch tells. For them ``beyond`` is false, and nothing but
blanks at both ends is looked for.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from libs.contracts.spelling import BLANKS, COMPATIBILITY_IDEOGRAPHS, JOINED, JOINERS, MARKS, compared

_LAST_OF_ASCII = 127
_ABOVE = r"\U00010000-\U0010ffff"
_AFTER_NOTHING: Final = f"(^|[^{JOINED}{_ABOVE}{JOINERS}])[{JOINERS}]+"
_BEFORE_NOTHING: Final = f"[{JOINERS}]+([^{JOINED}{_ABOVE}{JOINERS}]|$)"
_NOT_COMPARED: Final = r"[^\x00-\x7f]|^\s|\s$|@.*[A-Z]"
_PERHAPS_NOT_COMPOSED: Final = (
    r"[\p{M}\u0374-\u0387\u0958-\u095f\u09dc-\u09df\u0a33-\u0a5e\u0b5c\u0b5d\u0f43-\u0fb9\u1100-\u11ff\u1f71-\u1f7d\u1fbb-\u2001"
    r"\u2126-\u212b\u2329\u232a\u2adc\uf900-\ufad9\ufb1d-\ufb4e\U0001d15e-\U0001d164\U0001d1bb-\U0001d1c0\U0002f800-\U0002fa1d]"
)
"""Without any of these a text is NFC already, which costs a quarter to see of what it costs to make it so."""
_MARK: Final = f"[{MARKS}]"
_SEEN: Final = f"[^{BLANKS}{MARKS}{JOINERS}]"


def beyond_ascii(cells: pa.Table) -> frozenset[str]:
    """The columns that hold more than ASCII."""
    return frozenset(name for name in cells.column_names if any(map(_goes_beyond_ascii, cells[name].chunks)))


def _goes_beyond_ascii(column: "pa.Array[Any]") -> bool:
    if not pa.types.is_string(column.type) or len(column) == 0:
        return pa.types.is_large_string(column.type)
    _, offsets, texts = column.buffers()
    if offsets is None or texts is None:
        return False
    first, last = np.frombuffer(memoryview(offsets), np.int32, len(column) + 1, column.offset * 4)[[0, -1]]
    if first == last:
        return False
    return bool(np.frombuffer(memoryview(texts), np.uint8, last - first, first).max() > _LAST_OF_ASCII)


def cleaned(text: pl.Expr, *, beyond: bool) -> pl.Expr:
    """``spelling.cleaned`` of every text; null for null.

    Args:
        text: any text.
        beyond: whether there may be more than ASCII in it.
    """
    return _changed_beyond_ascii(text, _cleaned).str.strip_chars() if beyond else text.str.strip_chars()


def composed(text: pl.Expr, *, beyond: bool) -> pl.Expr:
    """Every text as NFC; arguments as for ``cleaned``."""
    return _changed_beyond_ascii(text, _composed) if beyond else text


def as_compared(text: pl.Expr) -> pl.Expr:
    """``spelling.compared`` of every text; null for null."""
    return text.map_batches(_as_compared, return_dtype=pl.String)


def is_blank(text: pl.Expr) -> pl.Expr:
    """Whether a text has nothing to see; null for null."""
    return ~text.str.contains(_SEEN)


def without_words(text: pl.Expr, words: Iterable[str], *, beyond: bool) -> pl.Expr:
    """Null for those texts that are one of ``words`` when cleaned, the text itself for all others.

    Args:
        text: any text.
        words: cleaned.
        beyond: as for ``cleaned``.
    """
    wanted = sorted(words)
    return pl.when(~cleaned(text, beyond=beyond).is_in(wanted)).then(text) if wanted else text


def answers(texts: pl.Series, ask: Callable[[str], object], dtype: type[pl.DataType]) -> pl.Series:
    """The answer to every text, asked once per distinct text; null for null."""
    nothing = pl.Series(texts.name, [None], dtype).new_from_index(0, len(texts))
    if texts.null_count() == len(texts):
        return nothing
    places = texts.is_not_null().arg_true()
    asked: list[str] = texts.gather(places).to_list()
    found = {text: ask(text) for text in dict.fromkeys(asked)}
    return nothing.scatter(places, pl.Series([found[text] for text in asked], dtype=dtype))


def _changed_beyond_ascii(text: pl.Expr, change: Callable[[pl.Series], pl.Series]) -> pl.Expr:
    def changed(texts: pl.Series) -> pl.Series:
        rare = (texts.str.len_bytes() != texts.str.len_chars()).fill_null(value=False)
        return _changed_at(texts, rare, change)

    return text.map_batches(changed, return_dtype=pl.String)


def _composed(texts: pl.Series) -> pl.Series:
    perhaps = texts.str.contains(_PERHAPS_NOT_COMPOSED).fill_null(value=False)
    return _changed_at(texts, perhaps, lambda some: some.str.normalize("NFC"))


def _changed_at(texts: pl.Series, rare: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    if rare.all():
        return change(texts).alias(texts.name)
    places = rare.arg_true()
    return texts.scatter(places, change(texts.gather(places))) if len(places) else texts


def _cleaned(texts: pl.Series) -> pl.Series:
    text = pl.col("text")
    if texts.str.contains(_MARK).any():
        text = text.str.replace_all(f"{_MARK}+", "")
    if texts.str.contains(f"[{JOINERS}]").any():
        text = text.str.replace_all(_AFTER_NOTHING, "${1}").str.replace_all(_BEFORE_NOTHING, "${1}")
    text = text.str.strip_chars(BLANKS)
    bare = texts.rename("text").to_frame().select(text)["text"]
    normal = _composed(bare)
    kept = bare.str.contains(f"[{COMPATIBILITY_IDEOGRAPHS}]")
    return bare.zip_with(kept, normal) if kept.any() else normal


def _as_compared(texts: pl.Series) -> pl.Series:
    rare = texts.str.contains(_NOT_COMPARED).fill_null(value=False)
    return _changed_at(texts, rare, lambda some: answers(some, compared, pl.String))
