"""What a workbook file is, before anything that could choke on it opens it, and which sheet is read.

Limits and reasons: a ZIP archive may claim or hide anything (Rowdock reads only what every reader would
read alike), and the library that reads the cells cannot be stopped once it allocates.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import NoReturn
from xml.parsers import expat

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode

MIB = 1024 * 1024
MAX_ENTRIES = 10_000
MAX_UNPACKED_BYTES = 1024 * MIB
MAX_RATIO = 100
"""Of unpacked to packed bytes, for parts of more than ``RATIO_FREE_BYTES``; real sheets stay below 30."""
RATIO_FREE_BYTES = 50 * MIB
_NESTED = re.compile(r"\.(?:zip|xls[xmb]?|od[st]|docx|pptx|7z|rar|gz|bz2|xz|zst|tar|jar)$", re.IGNORECASE)
_EMBEDDED = re.compile(r"(?:^|/)embeddings/|^Object[^/]*/", re.IGNORECASE)
"""Folders of objects that were pasted into a sheet; nobody opens them here."""
_ENCRYPTED_FLAG = 0x1
_MAX_NAME_CHARS = 255
"""Of a sheet; Excel allows 31."""


class WorkbookKind(StrEnum):
    XLSX = "xlsx"
    ODS = "ods"
    XLS = "xls"


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """One line of a ZIP archive's directory.

    Attributes:
        name: path inside the archive.
        packed: bytes in the archive.
        unpacked: bytes that the directory promises.
        start: offset of its local header.
        end: offset just behind its packed bytes.
        flags: general purpose bit flags.
    """

    name: str
    packed: int
    unpacked: int
    start: int
    end: int
    flags: int = 0


def not_a_workbook(what: str) -> FileRefusedError:
    """The refusal of a file that is something else."""
    return FileRefusedError(
        RunErrorCode.NOT_EXCEL,
        f"the file is {what}, and no workbook; save it as .xlsx, .xlsm, .xls or .ods, or export it as CSV",
    )


def too_complex(why: str) -> FileRefusedError:
    """The refusal of a file that would take more memory or time than it may."""
    return FileRefusedError(
        RunErrorCode.FILE_TOO_COMPLEX,
        f"{why}; clear the formats and cells beyond the data, split the workbook, or export the sheet as CSV",
    )


def encrypted() -> FileRefusedError:
    """The refusal of a file that only a password opens."""
    return FileRefusedError(
        RunErrorCode.FILE_ENCRYPTED, "the workbook is protected by a password; remove the password and save it again"
    )


def refuse_unsafe_archive(entries: Sequence[ArchiveEntry]) -> None:
    """Refuse an archive that is larger than it may be, or that two readers could read differently.

    Raises:
        FileRefusedError: ``FILE_TOO_COMPLEX``, ``FILE_ENCRYPTED``, ``UNSAFE_ARCHIVE``.
    """
    if len(entries) > MAX_ENTRIES:
        raise too_complex(f"the workbook consists of {len(entries):,} parts, and at most {MAX_ENTRIES:,} are read")
    unpacked = sum(entry.unpacked for entry in entries)
    if unpacked > MAX_UNPACKED_BYTES:
        raise too_complex(f"the workbook unpacks to more than {MAX_UNPACKED_BYTES // MIB:,} MiB, the most that is read")
    for entry in entries:
        if entry.unpacked > RATIO_FREE_BYTES and entry.unpacked > MAX_RATIO * entry.packed:
            raise too_complex(f"the workbook's part {entry.name!r} unpacks to more than {MAX_RATIO} times its size")
        if entry.flags & _ENCRYPTED_FLAG:
            raise encrypted()
        if _leads_outside(entry.name):
            _unsafe(f"holds the path {entry.name!r}, which leads out of it")
        if _NESTED.search(entry.name) and not _EMBEDDED.search(entry.name):
            _unsafe(f"holds another archive, {entry.name!r}")
    names = [entry.name.casefold() for entry in entries]
    if len(set(names)) < len(names):
        _unsafe("holds two parts of one name")
    in_order = sorted(entries, key=lambda entry: entry.start)
    if any(one.end > other.start for one, other in pairwise(in_order)):
        _unsafe("holds parts that overlap")


def _leads_outside(name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    return not parts[0] or ".." in parts or ":" in parts[0] or "\0" in name


def _unsafe(what: str) -> NoReturn:
    raise FileRefusedError(
        RunErrorCode.UNSAFE_ARCHIVE,
        f"the file {what}, as no program that writes workbooks would leave it; open it in Excel or LibreOffice and "
        "save it again",
    )


def refuse_second_directory(hidden: Iterable[bytes]) -> None:
    """Refuse an archive with another directory beside the one that was read.

    Args:
        hidden: everything in the file that belongs to no entry and not to the directory.

    Raises:
        FileRefusedError: ``UNSAFE_ARCHIVE``.
    """
    if any(mark in gap for gap in hidden for mark in (b"PK\1\2", b"PK\3\4", b"PK\5\6")):
        _unsafe("has a second table of contents")


def archive_kind(names: Iterable[str], mimetype: bytes) -> WorkbookKind:
    """What a ZIP archive is.

    Args:
        names: of its entries.
        mimetype: content of the entry ``mimetype``, empty where there is none.

    Raises:
        FileRefusedError: ``NOT_EXCEL``.
    """
    known = {name.casefold() for name in names}
    if {"xl/workbook.xml", "[content_types].xml"} <= known:
        return WorkbookKind.XLSX
    if mimetype.startswith(b"application/vnd.oasis.opendocument.spreadsheet") and "content.xml" in known:
        return WorkbookKind.ODS
    if "xl/workbook.bin" in known:
        raise not_a_workbook("a binary workbook (.xlsb), whose error cells cannot be told from empty ones")
    if any(name.startswith(("word/", "ppt/", "visio/")) for name in known):
        raise not_a_workbook("another Office document")
    raise not_a_workbook("a ZIP archive")


def compound_kind(streams: Iterable[str]) -> None:
    """Refuse an OLE2 compound file that is no old workbook.

    Args:
        streams: names of its streams.

    Raises:
        FileRefusedError: ``FILE_ENCRYPTED``, ``NOT_EXCEL``.
    """
    known = {name.casefold() for name in streams}
    if "encryptedpackage" in known:
        raise encrypted()
    if not known & {"workbook", "book"}:
        what = {"worddocument": "a Word document", "powerpoint document": "a presentation"}
        raise not_a_workbook(next((what[name] for name in known if name in what), "another document of an old program"))


@dataclass(frozen=True, slots=True)
class WorkbookParts:
    """What ``xl/workbook.xml`` says.

    Attributes:
        date_1904: serial numbers of dates count from 1904.
        relations: sheet name to the id of the relation that leads to its part.
    """

    date_1904: bool
    relations: dict[str, str]


def workbook_parts(workbook_xml: bytes) -> WorkbookParts:
    """Read ``xl/workbook.xml``.

    Raises:
        FileRefusedError: ``CORRUPT_FILE``.
    """
    date_1904 = False
    relations: dict[str, str] = {}
    for tag, attributes in part_elements(workbook_xml):
        if tag == "workbookPr":
            date_1904 = attributes.get("date1904", "0") in {"1", "true"}
        elif tag == "sheet":
            relations[attributes.get("name", "")] = attributes.get("id", "")
    return WorkbookParts(date_1904, relations)


def relation_targets(rels_xml: bytes) -> dict[str, str]:
    """Read ``xl/_rels/workbook.xml.rels``: relation id to the name of the part in the archive.

    Raises:
        FileRefusedError: ``CORRUPT_FILE``.
    """
    targets: dict[str, str] = {}
    for tag, attributes in part_elements(rels_xml):
        if tag == "Relationship":
            target = attributes.get("Target", "")
            targets[attributes.get("Id", "")] = target[1:] if target.startswith("/") else f"xl/{target}"
    return targets


def part_elements(xml: bytes) -> list[tuple[str, dict[str, str]]]:
    """Elements of a small part with their attributes, by local names.

    Raises:
        FileRefusedError: ``CORRUPT_FILE``.
    """
    found: list[tuple[str, dict[str, str]]] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        found.append((_local(name), {_local(key): value for key, value in attributes.items()}))

    def refuse(*_: object) -> NoReturn:
        raise corrupt("its list of sheets has a DOCTYPE")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(xml, True)  # noqa: FBT003 - the function takes no keywords
    except expat.ExpatError as error:
        raise corrupt("its list of sheets is incomplete or changed") from error
    return found


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def corrupt(why: str) -> FileRefusedError:
    """The refusal of a workbook that is damaged."""
    return FileRefusedError(
        RunErrorCode.CORRUPT_FILE,
        f"the workbook is damaged and cannot be read ({why}); open it in Excel and save it again",
    )


@dataclass(frozen=True, slots=True)
class SheetInfo:
    """One tab of a workbook; ``table`` is false for charts, dialogs and macros."""

    name: str
    table: bool = True
    visible: bool = True


def choose_sheet(sheets: Sequence[SheetInfo], wanted: str | int | None) -> int:
    """Index of the sheet that is read.

    Args:
        sheets: all tabs in their order.
        wanted: a name, compared exactly and then as Excel does, without regard to case; or an index from 0
            over all tabs; or nothing: the first visible worksheet.

    Raises:
        FileRefusedError: ``UNKNOWN_SHEET``, ``CORRUPT_FILE``.
    """
    if max((len(sheet.name) for sheet in sheets), default=0) > _MAX_NAME_CHARS:
        raise corrupt("a sheet has a name that no program would let it have")
    if len({sheet.name for sheet in sheets}) < len(sheets):
        raise corrupt("two of its sheets have one name")
    found: int | None
    if wanted is None:
        found = next((index for index, sheet in enumerate(sheets) if sheet.table and sheet.visible), None)
        what = "no visible worksheet"
    elif isinstance(wanted, int):
        found = wanted if wanted < len(sheets) else None
        what = f"no sheet {wanted} (they are counted from 0)"
    else:
        what = f"no sheet {wanted!r}"
        names = [sheet.name for sheet in sheets]
        folded = [name.strip().casefold() for name in names]
        key = wanted.strip().casefold()
        found = names.index(wanted) if wanted in names else folded.index(key) if key in folded else None
    if found is not None and not sheets[found].table:
        what, found = f"only a chart or a macro in the sheet {sheets[found].name!r}", None
    if found is None:
        raise FileRefusedError(
            RunErrorCode.UNKNOWN_SHEET,
            f"the workbook has {what}; its sheets are {described(sheets)}; name one in the template",
        )
    return found


def described(sheets: Sequence[SheetInfo]) -> str:
    """The sheets for a message."""
    shown = [
        repr(sheet.name) + (" (no table)" if not sheet.table else "" if sheet.visible else " (hidden)")
        for sheet in sheets[:50]
    ]
    return ", ".join(shown) + (f" and {len(sheets) - 50:,} more" if len(sheets) > 50 else "")


def cell_reference(row: int, column: int) -> str:
    """``C17`` for row 16 and column 2 (both from 0)."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{row + 1}"


def column_index(letters: str) -> int:
    """2 for ``C``."""
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1
