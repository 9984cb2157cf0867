"""Two files of the same shape: values as most programs write them, and nothing but values as hardly any does.

Every value of the second is one that Rowdock reads (``docs/values.md``), and each row holds what its counterpart holds.
"""

import unicodedata
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from bench.datasets import Dataset
from bench.renderings import write_csv

_Row = Callable[[int], Sequence[object]]

BLOCK_ROWS: Final = 100_000
"""Distinct rows; a larger file has them again and again."""
HEADER: Final = (
    "name",
    "amount",
    "price",
    "share",
    "pieces",
    "booked",
    "changed",
    "born",
    "active",
    "email",
    "phone",
    "left",
)
_FIRST_DAY = date(2015, 1, 1)

_NAMES = ("José Müller", "Zoë Brontë", "Åsa Öberg", "Renée Nuñez")
_MONTHS = (
    "Januar", "février", "marzo", "abril", "maio", "juni", "July", "août", "settembre", "Oktober", "novembre",
    "dezembro",
)  # fmt: skip
_SHORT_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WORDS = (("verdadero", "falso"), ("はい", "いいえ"), ("oui", "non"), ("WAHR", "FALSCH"))
_NULLS = ("N/A", "(null)", "#N/A", "\u2014", r"\N")
_LOCALS, _DOMAINS = ("jürgen", "用户", "анна", "søren"), ("bücher", "例子", "пример", "straße")

_DOMAINS_OF_ALL = 977

TEMPLATE: Final[dict[str, Any]] = {
    "file_type": "csv",
    "default_date_order": "dmy",
    "field_mapping": [
        {"target": "name", "transformations": [{"type": "trim"}], "validators": [{"type": "required"}]},
        {"target": "amount", "type": "number", "decimals": 2},
        {"target": "price", "type": "number", "currency": "EUR"},
        {"target": "share", "type": "number", "percent": "fraction"},
        {"target": "pieces", "type": "number", "integer": True},
        {"target": "booked", "type": "date"},
        {"target": "changed", "type": "date"},
        {"target": "born", "type": "date", "past": True},
        {"target": "active", "type": "boolean"},
        {"target": "email", "type": "email", "validators": [{"type": "required"}]},
        {"target": "phone", "type": "phone"},
        {"target": "left", "type": "date"},
    ],
}


def ordinary(folder: Path, megabytes: int) -> Dataset:
    """The file that most programs would write."""
    return _dataset("ordinary", folder, megabytes, _ordinary_row)


def rare(folder: Path, megabytes: int) -> Dataset:
    """The file with nothing but rare spellings."""
    return _dataset("rare", folder, megabytes, _rare_row)


def _dataset(name: str, folder: Path, megabytes: int, row: _Row) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    block = [row(number) for number in range(1, BLOCK_ROWS + 1)]
    sample = folder / f"{name}.sample"
    with sample.open("wb") as out:
        write_csv(out, HEADER, block)
    rows = megabytes * 1024**2 * BLOCK_ROWS // sample.stat().st_size
    file = folder / f"{name}-{megabytes}.csv"
    with file.open("wb") as out:
        write_csv(out, HEADER, islice(cycle(block), rows))
    sample.unlink()
    return Dataset(name, file, rows, 0, {**TEMPLATE, "name": name, "auto_execute": True})


def _facts(number: int) -> tuple[str, float, int, date, datetime, date]:
    """What a row says: a name, an amount, a number of pieces, a day, an instant, a birthday."""
    day = _FIRST_DAY + timedelta(days=number % 3_650)
    changed = datetime.combine(day, time(number % 24, number % 60, number % 59))
    return (
        f"{_NAMES[number % len(_NAMES)]} {number}",
        1_000 + number * 7 % 900_000 / 100,
        1 + number % 9_000,
        day,
        changed,
        date(1930 + number % 70, 1 + number % 12, 1 + number % 28),
    )


def _ordinary_row(number: int) -> Sequence[object]:
    name, amount, pieces, day, changed, born = _facts(number)
    plain = unicodedata.normalize("NFD", name).encode("ascii", "ignore").decode()
    return (
        plain,
        f"{-amount:.2f}",
        f"{amount:.2f}",
        f"{number % 1_000 / 1_000}",
        pieces,
        day,
        f"{changed:%Y-%m-%dT%H:%M:%SZ}",
        born,
        "true" if number % 2 else "false",
        f"user.{number}@mail{number % _DOMAINS_OF_ALL}.example.com",
        f"+4670{1_000_000 + number}",
        "",
    )


def _rare_row(number: int) -> Sequence[object]:
    name, amount, pieces, day, changed, born = _facts(number)
    return (
        f"\u00a0{unicodedata.normalize('NFD', name)}\u200b",
        _one_of(
            number,
            f"({amount:,.2f})",
            f"{amount:,.2f}-",
            f"\u2212 {amount:,.2f}",
            f"- {amount:,.2f}".replace(",", "\u202f"),
        ),
        _one_of(number, f"€ {amount:,.2f}", f"{amount:,.2f} EUR", f"EUR{amount:.2f}", f"{amount:,.2f}\u00a0€"),
        _one_of(number, f"{number % 1_000 / 10} %", f"%{number % 1_000 / 10}", f"+{number % 1_000 / 10}\u202f%"),
        _one_of(number, f"{pieces}.0", f"{pieces:,}.00", f"{pieces}E+0", f"{pieces * 10}e-1"),
        _rare_day(number, day),
        _rare_instant(number, changed),
        f"{born:%d.%m.%y}",
        _WORDS[number // 2 % len(_WORDS)][1 - number % 2],
        f"{_one_of(number, *_LOCALS)}.{number}@{_one_of(number, *_DOMAINS)}{number % _DOMAINS_OF_ALL}.example",
        _rare_phone(number, str(1_000_000 + number)),
        _one_of(number, *_NULLS),
    )


def _one_of(number: int, *spellings: str) -> str:
    return spellings[number % len(spellings)]


def _rare_day(number: int, day: date) -> str:
    return _one_of(
        number,
        f"{day.day}. {_MONTHS[day.month - 1]} {day.year}",
        f"{day.day:02}-{_SHORT_MONTHS[day.month - 1]}-{day:%y}",
        f"{day.day} de {_MONTHS[day.month - 1]} de {day.year}",
        f"{day.year}年{day.month}月{day.day}日",
        f"{_MONTHS[day.month - 1]} {day.day}, {day.year}",
    )


def _rare_instant(number: int, moment: datetime) -> str:
    return _one_of(
        number,
        f"{moment:%Y-%m-%d %H:%M:%S}+02",
        f"{moment:%Y-%m-%d}T24:00",
        f"{moment:%Y%m%dT%H%M%S}.250-0330",
        f"{moment:%Y-%m-%d %H:%M:%S},5 UTC",
        f"{moment:%d.%m.%Y} {moment:%I:%M} p. m.",
        f"{moment.day:02}-{_SHORT_MONTHS[moment.month - 1]}-{moment:%y %I.%M.%S.000000 %p}",
    )


def _rare_phone(number: int, subscriber: str) -> str:
    return _one_of(
        number,
        f"\u202a+46\u00a070\u2011{subscriber[:3]}\u00a0{subscriber[3:5]}\u00a0{subscriber[5:]}\u202c",
        f"+46 (0)70-{subscriber[:3]} {subscriber[3:]} ext. {number % 100}",
        f"tel:+46-70-{subscriber};ext={number % 100}",
    )
