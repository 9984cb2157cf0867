"""The child process: opens the workbook on its standard input and writes frames to its standard output.

It limits itself before it looks at the file, has no secrets in its environment, and dies with its parent: the
kernel signals the end of a pipe whose other end only the parent holds. Run as ``python -m``, with the descriptor of
that pipe and a ``Request`` as JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import resource
import signal
import struct
import sys
import zipfile
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import python_calamine as calamine

from libs.contracts.errors import FileRefusedError
from services.parser.formats.excel import workbook
from services.parser.formats.excel.compound_file import CompoundFile
from services.parser.formats.excel.header import refuse_grouped_header
from services.parser.formats.excel.number_formats import cell_formats
from services.parser.formats.excel.ods_facts import ods_facts
from services.parser.formats.excel.process import frames
from services.parser.formats.excel.process.frames import Request
from services.parser.formats.excel.sheet_facts import SheetFacts
from services.parser.formats.excel.sheet_marks import xls_date_1904
from services.parser.formats.excel.sheet_rows import SheetRows
from services.parser.formats.excel.strays import without_strays
from services.parser.formats.excel.workbook import SheetInfo, WorkbookKind
from services.parser.formats.excel.xls_facts import xls_facts
from services.parser.formats.excel.xlsx_facts import XlsxScan

_OPEN_FILES = 16
_OOM_SCORE = "800"
_PIECE_BYTES = 1024 * 1024
_SMALL_PART_BYTES = 16 * 1024 * 1024
_COMPOUND_FILE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_GAP_BYTES = 1024 * 1024


def main(lifeline: int, request: Request) -> None:
    """Read the workbook; always ends with a frame that says so, unless the process is killed."""
    _restrict(lifeline, request)
    gc.disable()  # there are no cycles, and looking for them takes a fifth of the time
    out = sys.stdout.buffer
    try:
        with _damage_is_refused():
            for frame in _frames(sys.stdin.buffer, request):
                out.write(frame)
                out.flush()
        last = frames.HEAD.pack(frames.END, 0)
    except FileRefusedError as refused:
        last = _json_frame(frames.REFUSED, [refused.code, refused.detail])
    except MemoryError:
        refused = workbook.too_complex("the workbook needs more memory than it may take")
        last = _json_frame(frames.REFUSED, [refused.code, refused.detail])
    out.write(last)
    out.flush()


def _restrict(lifeline: int, request: Request) -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    for kind, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_AS, request.memory_bytes),
    ):
        _limit(kind, limit)
    # Ctrl-C in the parser's terminal comes here too; as an exception it would look like damage of the file.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # At the soft limit the kernel sends a signal that says why, at the hard one it just kills.
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    _limit(resource.RLIMIT_CPU, request.cpu_seconds, request.cpu_seconds + 1)
    # The kernel sends SIGIO, which ends a process that does not handle it, when the last writer of the pipe closes.
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        os.read(lifeline, 1)
        sys.exit(1)  # the parent is gone already
    # What a library says about a broken file is of use to nobody.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    """Set a limit, unless the process has a lower one already."""
    _, ceiling = resource.getrlimit(kind)
    wanted = (soft, soft if hard is None else hard)
    known = [each if ceiling == resource.RLIM_INFINITY else min(each, ceiling) for each in wanted]
    resource.setrlimit(kind, (known[0], known[1]))


def _json_frame(kind: bytes, content: object) -> bytes:
    data = json.dumps(content).encode()
    return frames.HEAD.pack(kind, len(data)) + data


@dataclass(frozen=True, slots=True)
class _Source:
    """A workbook that has passed the scan: what calamine does not tell about it."""

    kind: WorkbookKind
    date_1904: bool = False
    archive: zipfile.ZipFile | None = None
    parts: dict[str, str] = field(default_factory=dict[str, str])
    styles: str = ""
    stream: bytes = b""

    def facts(self, index: int) -> SheetFacts:
        """Facts of a sheet of .xls and .ods."""
        if self.archive is None:
            return xls_facts(self.stream, index)
        return ods_facts(self.archive.read(self.parts["content.xml"]), index)

    def scan(self, archive: zipfile.ZipFile, part: str) -> XlsxScan:
        """What a sheet of an .xlsx holds."""
        styles = cell_formats(workbook.part_elements(_part(archive, self.styles))) if self.styles else []
        scan = XlsxScan(styles, date_1904=self.date_1904)
        scan.take(_pieces(archive, part))
        return scan


def _frames(file: IO[bytes], request: Request) -> Iterator[bytes]:
    source = _scan(file)
    file.seek(0)
    book = calamine.CalamineWorkbook.from_filelike(file)  # which takes all of it into memory
    tabs = [_sheet_info(each) for each in book.sheets_metadata]
    index = workbook.choose_sheet(tabs, request.sheet)
    name = tabs[index].name
    facts = SheetFacts()
    if source.kind is not WorkbookKind.XLSX:
        facts = source.facts(index)
    elif source.archive is not None and (part := source.parts.get(name)) is not None:
        scan = source.scan(source.archive, part)
        facts = scan.facts
        if (smaller := without_strays(source.archive, part, scan)) is not None:
            book = calamine.CalamineWorkbook.from_filelike(smaller)
    sheet = book.get_sheet_by_name(name)
    first_column = (sheet.start or (0, 0))[1]
    rows = SheetRows(sheet.iter_rows(), sheet.width, first_column, facts, request.reading)
    merged = facts.merged
    if source.kind is not WorkbookKind.ODS:
        merged = [(*start, *end) for start, end in sheet.merged_cell_ranges or ()]
    if request.has_header and request.width is None:
        refuse_grouped_header(rows, merged)
    yield _json_frame(
        frames.LAYOUT,
        {
            "sheet": name,
            "columns": rows.columns,
            "header": rows.header,
            "width": rows.width,
            "tabs": len(tabs),
            "described": workbook.described(tabs),
            "date_1904": source.date_1904,
            "merged": len(merged),
            "hidden_rows": len(facts.hidden_rows),
            "hidden_columns": sorted(facts.hidden_columns & {*range(first_column, first_column + sheet.width)}),
            "strays": rows.strays,
            "header_place": rows.header_place,
        },
    )
    sent = 0
    for block in rows.blocks():
        yield from frames.rows_frames(block, request.max_row_bytes)
        sent += len(block.places)
        if request.max_rows is not None and sent >= request.max_rows:
            return


@contextlib.contextmanager
def _damage_is_refused() -> Generator[None]:
    try:
        yield
    except (FileRefusedError, MemoryError, BrokenPipeError):
        raise
    except calamine.PasswordError as error:
        raise workbook.encrypted() from error
    except BaseException as error:  # a panic of the library's Rust code is no Exception
        raise workbook.corrupt(_damage(error)) from error


def _damage(error: BaseException) -> str:
    """What is damaged, in words: what the libraries say means nothing to who has the file."""
    match error:
        case NotImplementedError():
            return "its parts are packed in a way that no spreadsheet program uses"
        case zipfile.BadZipFile() | zlib.error() | OSError() | EOFError() | calamine.ZipError():
            return "its archive is cut off or changed"
        case _:
            return "its sheets are incomplete or changed"


def _sheet_info(sheet: calamine.SheetMetadata) -> SheetInfo:
    return SheetInfo(
        sheet.name,
        table=sheet.typ == calamine.SheetTypeEnum.WorkSheet,
        visible=sheet.visible == calamine.SheetVisibleEnum.Visible,
    )


def _scan(file: IO[bytes]) -> _Source:
    """Refuse what must not be opened; say what the rest is."""
    head = file.read(len(_COMPOUND_FILE))
    if head == _COMPOUND_FILE:
        file.seek(0)
        compound = CompoundFile(file.read())
        workbook.compound_kind(compound.names)
        stream = compound.read("workbook", "book")
        return _Source(WorkbookKind.XLS, xls_date_1904(stream), stream=stream)
    if not head.startswith(b"PK"):
        raise workbook.not_a_workbook("neither a ZIP archive nor an old Office document")
    archive = zipfile.ZipFile(file)
    entries = archive.infolist()
    found = [_entry(file, each) for each in entries]
    workbook.refuse_unsafe_archive(found)
    workbook.refuse_second_directory(_gaps(file, found, archive))
    names = {each.filename.casefold(): each.filename for each in entries}
    mimetype = _part(archive, names["mimetype"]) if "mimetype" in names else b""
    kind = workbook.archive_kind(names, mimetype)
    if kind is WorkbookKind.ODS:
        if "encryption-data" in _part(archive, names.get("meta-inf/manifest.xml", "")).decode("utf-8", "replace"):
            raise workbook.encrypted()
        return _Source(kind, archive=archive, parts=names)
    parts = workbook.workbook_parts(_part(archive, names["xl/workbook.xml"]))
    targets = workbook.relation_targets(_part(archive, names.get("xl/_rels/workbook.xml.rels", "")))
    sheets = {
        name: names[target]
        for name, relation in parts.relations.items()
        if (target := targets.get(relation, "").casefold()) in names
    }
    return _Source(kind, parts.date_1904, archive, sheets, names.get("xl/styles.xml", ""))


def _entry(file: IO[bytes], entry: zipfile.ZipInfo) -> workbook.ArchiveEntry:
    file.seek(entry.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\3\4"):
        raise workbook.corrupt(f"its part {entry.filename!r} is not where it should be")
    _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    end = entry.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes + entry.compress_size
    return workbook.ArchiveEntry(
        entry.filename, entry.compress_size, entry.file_size, entry.header_offset, end, entry.flag_bits
    )


def _gaps(file: IO[bytes], entries: list[workbook.ArchiveEntry], archive: zipfile.ZipFile) -> Iterator[bytes]:
    """What stands between the entries, and behind the directory's end record."""
    at = 0
    for entry in sorted(entries, key=lambda each: each.start):
        yield from _between(file, at, entry.start)
        at = entry.end
    yield from _between(file, at, archive.start_dir)
    yield archive.comment


def _between(file: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    file.seek(start)
    carry = b""
    while start < end:
        piece = file.read(min(_GAP_BYTES, end - start))
        if not piece:
            return
        start += len(piece)
        yield carry + piece
        carry = piece[-3:]


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    """A part that is small in every real workbook; empty where there is none."""
    if not name:
        return b""
    with archive.open(name) as part:
        data = part.read(_SMALL_PART_BYTES + 1)
    if len(data) > _SMALL_PART_BYTES:
        raise workbook.too_complex(f"the workbook's part {name!r} has more than {_SMALL_PART_BYTES // 2**20} MiB")
    return data


def _pieces(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    with archive.open(name) as part:
        while piece := part.read(_PIECE_BYTES):
            yield piece


if __name__ == "__main__":
    arguments: dict[str, Any] = json.loads(sys.argv[2])
    main(int(sys.argv[1]), Request(**arguments))
