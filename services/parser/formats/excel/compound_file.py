"""Streams of an OLE2 compound file (``[MS-CFB]``), as old Office documents and encrypted new ones are."""

from __future__ import annotations  # array is generic only in the stubs

import struct
from array import array

from services.parser.formats.excel.workbook import corrupt

_HEADER = struct.Struct("<30xH16xI16xII")
"""Sector shift, first sectors of the directory and of the DIFAT, sectors of the DIFAT."""
_LAST_SECTOR = 0xFFFFFFFA
_HEADER_BYTES = 512
_HEADER_DIFAT = 76
_DIRECTORY_ENTRY = 128
_STREAM = 2
_SMALL_STREAM = 4096


class CompoundFile:
    """The streams of a file; those too short for sectors of their own (below 4 KiB) read as empty.

    Args:
        data: the whole file.

    Raises:
        FileRefusedError: ``CORRUPT_FILE``.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        if len(data) < _HEADER_BYTES:
            raise corrupt("it ends within its header")
        shift, directory, difat, difats = _HEADER.unpack_from(data)
        if shift not in (9, 12):
            raise corrupt("its sectors have no size that exists")
        self._sector = 1 << shift
        self._fat = self._read_fat(difat, difats)
        self._streams: dict[str, tuple[int, int]] = {}
        entries = self._chain(directory)
        for at in range(0, len(entries) - _DIRECTORY_ENTRY + 1, _DIRECTORY_ENTRY):
            name_bytes, kind = struct.unpack_from("<HB", entries, at + 64)
            if kind == _STREAM and 2 <= name_bytes <= 64:
                name = entries[at : at + name_bytes - 2].decode("utf-16-le", "replace")
                start, size = struct.unpack_from("<II", entries, at + 116)
                self._streams.setdefault(name.casefold(), (start, size))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the streams, in lower case."""
        return tuple(self._streams)

    def read(self, *names: str) -> bytes:
        """Content of the first stream that exists; empty where there is none.

        Raises:
            FileRefusedError: ``CORRUPT_FILE``.
        """
        for name in names:
            if name in self._streams:
                start, size = self._streams[name]
                return self._chain(start)[:size] if size >= _SMALL_STREAM else b""
        return b""

    def _sector_at(self, number: int) -> bytes:
        start = (number + 1) * self._sector
        return self._data[start : start + self._sector]

    def _read_fat(self, difat: int, difats: int) -> array[int]:
        sectors = array("I", self._data[_HEADER_DIFAT:_HEADER_BYTES])
        for _ in range(min(difats, len(self._data) // self._sector)):
            if difat >= _LAST_SECTOR:
                break
            *more, difat = array("I", self._whole(self._sector_at(difat)))
            sectors.extend(more)
        used = [number for number in sectors if number < _LAST_SECTOR]
        if len(used) > len(self._data) // self._sector + 1:
            raise corrupt("its sector table is larger than the file")
        return array("I", b"".join(self._whole(self._sector_at(number)) for number in used))

    def _whole(self, sector: bytes) -> bytes:
        if len(sector) < self._sector:
            raise corrupt("it ends within its sector table")
        return sector

    def _chain(self, number: int) -> bytes:
        sectors: list[bytes] = []
        for _ in range(len(self._fat) + 1):
            if number >= len(self._fat):
                return b"".join(sectors)
            sectors.append(self._sector_at(number))
            number = self._fat[number]
        raise corrupt("its sectors form a circle")
