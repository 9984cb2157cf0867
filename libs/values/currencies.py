"""How amounts of money name their currency: ISO 4217 codes, signs, and the abbreviations of the countries."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_CODES: Final = (
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BHD", "BIF",
    "BMD", "BND", "BOB", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CLP", "CNY", "COP", "CRC",
    "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS",
    "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HRK", "HTG", "HUF", "IDR", "ILS", "INR", "IQD", "IRR", "ISK",
    "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD",
    "LSL", "LYD", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MYR", "MZN",
    "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON",
    "RSD", "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SVC",
    "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX", "USD", "UYU", "UZS",
    "VES", "VND", "VUV", "WST", "XAF", "XCD", "XOF", "XPF", "YER", "ZAR", "ZMW", "ZWG", "ATS", "BEF", "DEM", "ESP",
    "FIM", "FRF", "GRD", "IEP", "ITL", "LUF", "NLG", "PTE", "CNH",
)  # fmt: skip
"""Those in use, and those that the euro has replaced."""

_SPELLINGS: Final[Mapping[str, str]] = {
    "$": "USD AUD CAD NZD HKD SGD TWD MXN ARS CLP COP", "US$": "USD", "A$": "AUD", "AU$": "AUD", "C$": "CAD",
    "CA$": "CAD", "CDN$": "CAD", "NZ$": "NZD", "HK$": "HKD", "S$": "SGD", "NT$": "TWD", "MX$": "MXN", "R$": "BRL",
    "€": "EUR", "Euro": "EUR", "euro": "EUR", "EURO": "EUR", "euros": "EUR", "£": "GBP EGP LBP", "¥": "JPY CNY CNH",
    "円": "JPY", "元": "CNY CNH TWD", "RMB": "CNY CNH", "CN¥": "CNY", "JP¥": "JPY", "₹": "INR",
    "Rs": "INR PKR LKR NPR MUR", "Rs.": "INR PKR LKR NPR MUR", "kr": "SEK NOK DKK ISK", "kr.": "SEK NOK DKK ISK",
    "Kr": "SEK NOK DKK ISK", "Kr.": "SEK NOK DKK ISK", "Fr.": "CHF", "SFr.": "CHF", "sFr.": "CHF", "zł": "PLN",
    "Kč": "CZK", "Ft": "HUF", "lei": "RON MDL", "лв": "BGN", "лв.": "BGN", "₽": "RUB", "руб": "RUB", "руб.": "RUB",  # noqa: RUF001 - Cyrillic
    "р.": "RUB", "₴": "UAH", "грн": "UAH", "грн.": "UAH", "₺": "TRY", "TL": "TRY", "₪": "ILS", "₩": "KRW", "원": "KRW",  # noqa: RUF001 - Cyrillic
    "₫": "VND", "đ": "VND", "฿": "THB", "Rp": "IDR", "Rp.": "IDR", "RM": "MYR", "R": "ZAR", "₱": "PHP", "₸": "KZT",
    "₾": "GEL", "₦": "NGN", "₡": "CRC", "₲": "PYG", "₵": "GHS", "₮": "MNT", "₼": "AZN", "₨": "PKR",
}  # fmt: skip
_ONLY_WHERE_SAID: Final = frozenset({"Ft", "R"})
"""Which also mean something else (feet, a grade), and so are read only where the template names the currency."""

_CODES_OF: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {code: frozenset({code}) for code in _CODES}
    | {name: frozenset(codes.split()) for name, codes in _SPELLINGS.items()}
)
SPELLINGS: Final = tuple(sorted(_CODES_OF, key=lambda name: (-len(name), name)))
"""Every way to name a currency, the longest first."""
SURE_SPELLINGS: Final = frozenset(_CODES_OF) - _ONLY_WHERE_SAID


def spellings_of(currency: str) -> frozenset[str]:
    """What amounts in a currency may say.

    Args:
        currency: an ISO 4217 code, or a spelling that several currencies share and that stands for itself then.
    """
    codes = _CODES_OF.get(currency, frozenset({currency}))
    if len(codes) > 1:
        return frozenset({currency})
    return frozenset({currency, *(name for name, known in _CODES_OF.items() if codes <= known)})


def common_currency(votes: Mapping[str, int]) -> tuple[str | None, bool]:
    """The currency of a column, and whether its amounts are in several.

    Args:
        votes: how often each spelling stands in the column.

    Returns:
        An ISO code, or a spelling that several currencies share; the one of most amounts, ``None`` where no one has
        more than the others.
    """
    groups: list[tuple[frozenset[str], int, str]] = []
    # The spellings of few currencies first: a column with both USD and $ is one of US dollars.
    for name in sorted(votes, key=lambda name: (len(_CODES_OF[name]), name)):
        for at, (codes, count, shown) in enumerate(groups):
            if codes & _CODES_OF[name]:
                groups[at] = (codes & _CODES_OF[name], count + votes[name], shown)
                break
        else:
            groups.append((_CODES_OF[name], votes[name], name))
    if not groups:
        return None, False
    most = max(count for _, count, _ in groups)
    best = [(codes, shown) for codes, count, shown in groups if count == most]
    if len(best) > 1:
        return None, True
    codes, shown = best[0]
    return (next(iter(codes)) if len(codes) == 1 else shown), len(groups) > 1
