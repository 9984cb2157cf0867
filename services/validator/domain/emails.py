"""E-mail addresses: what counts as one, and in which form it is stored.

Most are plain, which a pattern tells. The others are read one by one: with letters of all scripts (RFC 6531, IDNA
2008), as a link ``mailto:``, with a name as mail programs write it, with a dot or a separator behind.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

import idna
import polars as pl

from services.validator.domain.spelling import answers

# "A valid e-mail address", WHATWG HTML, https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address
_LOCAL: Final = r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN: Final = rf"^{_LOCAL}@{_LABEL}(?:\.{_LABEL})*$"
"""With the domain in lower case: what is stored as it stands."""
# RFC 5321, 4.5.3.1.3: a path has at most 256 octets, two of them are its angle brackets.
MAX_EMAIL_BYTES: Final = 254
_MOST_CHARS: Final = 1_000
"""Of an address with what may stand around it."""

_DOMAINS_KEPT: Final = 10_000
"""Addresses are many and their domains few, which take most of the time."""
_ASCII_LOCAL = re.compile(_LOCAL)
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_BARE: Final = r"^[\p{L}\p{M}\p{N}.!#$%&'*+/=?^_`{|}~-]+@[^\s@<>,;]*[^\s@<>,;.]$"
"""With nothing around it, as far as can be told without a look at the domain."""
_SIGNS = frozenset(".!#$%&'*+/=?^_`{|}~-")
_SEPARATORS = re.compile(r"[\s,;|/&]+")


def is_plain(text: pl.Expr) -> pl.Expr:
    """Whether a text is an address in the form in which it is stored; null for null."""
    return text.str.contains(_PLAIN) & (text.str.len_bytes() <= MAX_EMAIL_BYTES)


def addresses(text: pl.Expr) -> pl.Expr:
    """The address that a cleaned text holds, as it is stored; null where it holds none, or several."""
    return text.map_batches(_addresses, return_dtype=pl.String)


def are_several(text: pl.Expr) -> pl.Expr:
    """Whether a text holds more than one address; null for null."""
    return text.map_batches(lambda texts: answers(texts, _are_several, pl.Boolean), return_dtype=pl.Boolean)


def _addresses(texts: pl.Series) -> pl.Series:
    if texts.null_count() == len(texts):
        return texts
    bare = (texts.str.contains(_BARE) & (texts.str.len_chars() <= _MOST_CHARS)).fill_null(value=False)
    found = answers(texts.set(bare, None), _address, pl.String)
    if bare.any():
        at = bare.arg_true()
        found = found.scatter(at, _bare_addresses(texts.gather(at)))
    return found


def _bare_addresses(texts: pl.Series) -> pl.Series:
    """As ``_address``, of texts with a local part, an ``@`` and what may be a domain."""
    parts = texts.str.splitn("@", 2).struct.unnest()
    local, domain = parts.get_columns()
    domains = domain.unique()
    found = local + "@" + domain.replace_strict(domains, pl.Series(list(map(_domain, domains)), dtype=pl.String))
    return found.set(found.str.len_bytes() > MAX_EMAIL_BYTES, None)


def _address(text: str) -> str | None:
    if len(text) > _MOST_CHARS:
        return None
    text = text.rstrip(" \t,;")
    name = ""
    if text.endswith(">") and "<" in text:
        name, _, text = text[:-1].rpartition("<")
    text = _without_scheme(text.strip())
    if "@" in name and _without_scheme(name.strip(" \t\"'")).lower() != text.lower():
        return None
    local, _, domain = text.removesuffix(".").rpartition("@")
    if not (_ASCII_LOCAL.fullmatch(local) or (local and all(map(_may_stand_in_local_part, local)))):
        return None
    found = _domain(domain)
    address = f"{local}@{found}"
    return None if found is None or len(address.encode()) > MAX_EMAIL_BYTES else address


def _without_scheme(text: str) -> str:
    return text[len("mailto:") :] if text[: len("mailto:")].lower() == "mailto:" else text


def _may_stand_in_local_part(char: str) -> bool:
    """RFC 6531, 3.3 adds to ASCII all that is beyond it; here letters, marks and digits of all scripts."""
    return char.isalnum() or char in _SIGNS if char.isascii() else unicodedata.category(char)[0] in "LMN"


@lru_cache(maxsize=_DOMAINS_KEPT)
def _domain(text: str) -> str | None:
    if text.isascii():
        lower = text.lower()
        return lower if _DOMAIN.fullmatch(lower) else None
    try:
        idna.encode(text, uts46=True, std3_rules=True)
        return unicodedata.normalize("NFC", idna.uts46_remap(text, std3_rules=True))
    except (idna.IDNAError, UnicodeError):
        return None


def _are_several(text: str) -> bool:
    if len(text) > MAX_EMAIL_BYTES * 100:
        return False
    found = {part.strip("<>\"'()").lower() for part in _SEPARATORS.split(text) if "@" in part.strip("@<>\"'()")}
    return len({address for part in found if (address := _address(part)) is not None}) > 1
