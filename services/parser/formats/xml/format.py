"""The format ``xml``."""

import codecs
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import Template
from services.parser.formats.api.encoding import Encoding, EncodingDetector, open_decoder
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.xml.places import ROOT_CHILDREN, Rows, find_rows, outline
from services.parser.formats.xml.reader import XmlReader
from services.parser.formats.xml.rows import XmlRows

SAMPLE_BYTES = MIB
"""How much of the file's start decides on the columns."""

_DECLARED = re.compile(rb"<\?xml\s[^>]*?\sencoding\s*=\s*[\"']([A-Za-z][A-Za-z0-9._-]*)[\"']")
_DECLARATION_BYTES = 1024
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_NOTHING = b" \t\r\n\0\xef\xbb\xbf\xfe\xff"


class XmlSampler:
    """Finds out encoding and columns."""

    def __init__(self, template: Template, file: FileFacts, limits: ReaderLimits) -> None:
        self._template = template
        self._file = file
        self._limits = limits
        self._data = bytearray()

    def feed(self, data: bytes) -> bool:
        """See ``file_format.Sampler``."""
        self._data += data[: SAMPLE_BYTES - len(self._data)]
        return len(self._data) == min(SAMPLE_BYTES, self._file.size)

    def layout(self) -> Layout:
        """The columns in the order in which the sample's cells have them.

        Where the file goes on, or has no rows at all, others may come: then it is not complete, and overflows.

        Raises:
            FileRefusedError: ``EMPTY_FILE``, ``UNKNOWN_ENCODING``, ``WRONG_ENCODING``, and as ``XmlRows.feed``.
        """
        data = bytes(self._data)
        if not data.strip(_NOTHING) and len(data) == self._file.size:
            raise FileRefusedError(
                RunErrorCode.EMPTY_FILE, "the file is empty; upload an XML document with an element for every row"
            )
        encoding, declared = find_encoding(data, self._template.source.encoding)
        whole_file = len(data) == self._file.size
        content = data[encoding.bom_bytes :]
        found = find_rows(outline(content, encoding.name, self._limits), self._template, whole_file=whole_file)
        xml = XmlRows(encoding.name, self._limits, row_path=found.path, beside=found.beside, declared=declared)
        xml.feed(content, final=whole_file)
        rows = [cells for cells, _ in xml.rows if isinstance(cells, dict)]
        names = _column_names(dict.fromkeys(chain(*rows, xml.cells)))
        filled = _column_names({name: None for cells in rows for name, text in cells.items() if text})
        notes = [note for note in (encoding.note, found.note) if note]
        complete = whole_file and bool(xml.rows)
        return Layout(
            columns=tuple(names),
            complete=complete,
            overflow=not complete,
            nested=True,
            hollow=_hollow(names, filled),
            notes=tuple(notes),
            settings={
                "encoding": encoding.name,
                "bom_bytes": encoding.bom_bytes,
                "options": _options(found, declared=declared),
            },
        )


class XmlFormat:
    """An XML document whose root has the rows as children."""

    def sampler(self, template: Template, file: FileFacts, limits: ReaderLimits) -> XmlSampler:
        """See ``file_format.FileFormat``."""
        return XmlSampler(template, file, limits)

    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> XmlReader:
        """See ``file_format.FileFormat``."""
        return XmlReader(plan, limits)


def find_encoding(head: bytes, override: str | None) -> tuple[Encoding, bool]:
    """How an XML file is decoded (XML 1.0, appendix F), and whether its declaration alone says so.

    The template's encoding wins; then a byte order mark; then UTF-16 by its zero bytes; then the declaration; and
    without all of them it is UTF-8.

    Args:
        head: the file's first ``SAMPLE_BYTES`` bytes, or all of it.
        override: the template's encoding.

    Raises:
        FileRefusedError: ``UNKNOWN_ENCODING``, ``WRONG_ENCODING``, ``NOT_TEXT``.
    """
    note = None
    declared = None
    name = override
    if name is None and not head.startswith(_BOMS) and b"\0" not in head[:4]:
        declared = _DECLARED.match(head[:_DECLARATION_BYTES])
        name = declared[1].decode() if declared else "utf-8"
        note = f"encoding: {name}, {'by' if declared else 'the default without'} an XML declaration"
        _check_declared(name)
    detector = EncodingDetector(name)
    detector.feed(head)
    found = detector.close()
    return Encoding(found.name, found.bom_bytes, note or found.note), declared is not None


def _check_declared(name: str) -> None:
    try:
        open_decoder(name)
    except FileRefusedError:
        raise FileRefusedError(
            RunErrorCode.UNKNOWN_ENCODING,
            f"the XML declaration names the encoding {name!r}, which is not known; correct it, or name the right one "
            "in the template",
        ) from None
    if name.upper().startswith(("UTF-16", "UTF-32", "UTF16", "UTF32")):
        raise FileRefusedError(
            RunErrorCode.WRONG_ENCODING,
            f"the XML declaration says {name}, but it is not written in it; correct the declaration, or name the "
            "right encoding in the template",
        )


def _options(found: Rows, *, declared: bool) -> dict[str, Any]:
    """What the plan says of where the rows are, and of whose word for the encoding is taken."""
    options: dict[str, Any] = {"declared": True} if declared else {}
    if found.path != ROOT_CHILDREN:
        options |= {"path": list(found.path), "beside": None if found.beside is None else list(found.beside)}
    return options


def _hollow(names: Sequence[str], filled: Sequence[str]) -> frozenset[str]:
    """Elements without any text, whose attributes or children have some."""
    around = {name[:at] for name in filled for at, sign in enumerate(name) if sign == "."}
    return frozenset(around & set(names) - set(filled))


def _column_names(keys: dict[str, None]) -> list[str]:
    """Without the ``@`` of attributes, except where an element has the same name."""
    names: list[str] = []
    for key in keys:
        path, at, name = key.rpartition("@")
        plain = path + name
        names.append(key if at and plain in keys else plain)
    return list(dict.fromkeys(names))
