"""Push-style XML reader: bytes in, batches of string columns out, in bounded memory.

What is what:

- A row is a child element of the root. The root's own attributes and text are no data.
- Attributes of the row and its child elements are columns, named by their local names: namespace prefixes do
  not count. Whatever is nested has a dotted name: ``address.city``, ``price.currency``.
- An attribute goes to the column ``@id`` if there is one, which is so where the start of the file has both an
  attribute and an element ``id`` in the same place; else to ``id``.
- Values of one row that have the same name, such as repeated elements, become one cell: a JSON array of texts.
- The text of an element is all of its own text, whatever stands between. It stays as it is, but text
  that is only white space with a line end is indentation: none. An element without text and children is an
  empty cell; one that has children and no text is no cell. The text of a row is a column named like the row.
- ``xsi:nil="true"`` is a missing cell. Other attributes of that namespace are no data.
- Comments and processing instructions are no data; CDATA is text.

The parser is expat and not libxml2, whose push parser keeps an unfinished tag, comment or CDATA section of any
size and does not tell how far it has come, so that it cannot be stopped. Expat says where it is after every piece.
A file with a DOCTYPE is refused before expat sees any of it, so there are no entities to be expanded or fetched.
"""

import codecs
import json
from collections.abc import Collection
from itertools import islice
from operator import itemgetter
from xml.parsers import expat

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from services.parser.domain.batches import ParsedBatch
from services.parser.domain.collector import Record, RowCollector
from services.parser.domain.headers import clean_name
from services.parser.domain.limits import ReaderLimits

Cells = dict[str, str | None]
"""Column name to text, in the order of the file; ``None`` is a missing cell."""

_PIECE_BYTES = 64 * 1024
_ROWS_AT_ONCE = 1_024
_MAX_DEPTH = 256
_MAX_NAMESPACE_CHARS = 2_000
_MAX_NAMES_BYTES = 32 * 1024 * 1024
_NAME_OVERHEAD_BYTES = 100
_MAX_KINDS = 50_000
_ROW = 1
_NOWHERE = ""
_BLANK = " \t\r\n"
_XSI = "http://www.w3.org/2001/XMLSchema-instance "
_DOCTYPE = "<!DOCTYPE"
_PROLOG_MARKUP = (("<?", "?>"), ("<!--", "-->"))


class _Start:
    """Stands for a start tag among the events."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _Name(str):
    """The name of an element; alone it stands for an end tag among the events."""

    __slots__ = ()


_Event = _Start | _Name | str | dict[str, str]
"""A start tag, an end tag, a piece of text, or the attributes of the start tag before it."""


class _Kind:
    """Elements at one place of the document, made when the first of them comes.

    Attributes:
        depth: 0 for the root, 1 for a row.
        path: dotted name within the row; empty for the row.
        column: where the text goes; ``_NOWHERE`` for an element that is nil.
        children: by their start tags.
        attributes: columns by expat's name of the attribute.
    """

    __slots__ = ("attributes", "children", "column", "depth", "parent", "path")

    def __init__(self, parent: "_Kind | None", path: str, column: str) -> None:
        self.parent = parent or self
        self.depth = -1 if parent is None else parent.depth + 1
        self.path = path
        self.column = column
        self.children: dict[_Start, _Kind] = {}
        self.attributes: dict[str, str] = {}


class XmlRows:
    """Finds the rows of an XML file.

    Args:
        encoding: Python codec name that decodes the file.
        limits: bounds on rows and names.
        columns: names that attributes may go to, see the module; without them every attribute has its ``@``.

    Attributes:
        rows: cells of every row since the caller emptied the list, and the most bytes of UTF-8 that it may have;
            ``None`` for a row that has more than ``max_record_bytes`` bytes or ``max_columns`` cells.
        cells: those of the row that is not complete yet.
    """

    def __init__(self, encoding: str, limits: ReaderLimits, columns: Collection[str] | None = None) -> None:
        self.rows: list[tuple[Cells | None, int]] = []
        self.cells: Cells = {}
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._limits = limits
        self._columns = columns
        self._names: dict[str, str] = {}
        self._starts: dict[str, _Start] = {}
        self._names_seen = 0
        self._names_bytes = 0
        self._line = 1
        self._fed = 0
        self._prolog: str | None = ""
        self._prolog_seen = 0
        self._kind = self._last_started = _Kind(None, "", "")
        self._kinds = 0
        self._text = ""
        self._parted_text: dict[int, list[str]] = {}
        self._repeated: dict[str, list[str]] = {}
        self._skip_depth = 0
        self._events: list[_Event] = []
        self._position = 0
        self._row_from = 0
        self._row_after = 0
        # The encoding given here wins over the file's declaration: what expat gets is UTF-8 always.
        self._parser = expat.ParserCreate("utf-8", " ", self._names)
        self._parser.buffer_text = True
        self._parser.buffer_size = _PIECE_BYTES
        self._parser.StartNamespaceDeclHandler = _check_namespace
        self._handle_cells()

    def feed(self, data: bytes, *, final: bool = False) -> None:
        """Take the file's next bytes; what is refused depends on the pieces, so let them not depend on chance.

        Raises:
            FileRefusedError: ``MALFORMED_XML``, ``XML_DTD_FORBIDDEN``, ``XML_TOO_DEEP``, ``XML_TOKEN_TOO_LARGE``,
                ``XML_TOO_MANY_NAMES``, ``WRONG_ENCODING``.
        """
        text = self._decode(data, final=final)
        if self._prolog is not None:
            self._prolog += text
            if not self._prolog_is_over(self._prolog) and not final:
                self._check_token(len(self._prolog))
                return
            text, self._prolog = self._prolog, None
        content = text.encode()
        self._fed += len(content)
        try:
            self._parser.Parse(content, final)
        except expat.ExpatError as error:
            self._take_events()
            raise FileRefusedError(
                "MALFORMED_XML",
                f"line {error.lineno}, column {error.offset + 1}: {expat.ErrorString(error.code)}; the file is not "
                "well-formed XML: repair it there, or export it again",
            ) from None
        self._take_events()
        self._position = max(0, self._parser.CurrentByteIndex)
        self._check_token(self._fed - self._position)
        self._check_names()
        if self._kind.depth >= _ROW and self._is_too_large(self._position):
            self._skip_row()

    def _decode(self, data: bytes, *, final: bool) -> str:
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            line = self._line + error.object[: error.start].count(b"\n")
            raise FileRefusedError(
                "WRONG_ENCODING",
                f"line {line}: byte 0x{error.object[error.start]:02X} is not {self._encoding}, as which the file is "
                "read; correct the encoding in its XML declaration, or name the right one in the template",
            ) from None
        self._line += text.count("\n")
        return text

    def _prolog_is_over(self, text: str) -> bool:
        """Whether the root element begins, so that no DOCTYPE can come any more.

        Raises:
            FileRefusedError: ``XML_DTD_FORBIDDEN``.
        """
        while True:
            at = len(text) - len(text[self._prolog_seen :].lstrip(_BLANK))
            self._prolog_seen = at
            for start, end in _PROLOG_MARKUP:
                if text.startswith(start, at):
                    end_at = text.find(end, at + len(start))
                    if end_at < 0:
                        return False
                    self._prolog_seen = end_at + len(end)
                    break
            else:
                head = text[at : at + len(_DOCTYPE)].upper()
                if head == _DOCTYPE:
                    raise FileRefusedError(
                        "XML_DTD_FORBIDDEN",
                        "the file has a DOCTYPE, which could define entities that grow without bounds or read other "
                        "files; remove everything from <!DOCTYPE to its end and upload the file again",
                    )
                return not any(each.startswith(head) for each in (_DOCTYPE, *(start for start, _ in _PROLOG_MARKUP)))

    def _check_token(self, size: int) -> None:
        if size > self._limits.max_record_bytes:
            raise FileRefusedError(
                "XML_TOKEN_TOO_LARGE",
                f"line {self._parser.CurrentLineNumber}: a tag, a comment or what precedes the first tag has more than "
                f"{self._limits.max_record_bytes:,} bytes; shorten it, or look for a missing '>'",
            )

    def _check_names(self) -> None:
        """Names are kept for as long as the file is read, by expat too."""
        new = len(self._names) - self._names_seen
        if new:
            self._names_seen += new
            names = islice(reversed(self._names), new)
            # Among them is None, the prefix of a default namespace.
            self._names_bytes += sum(_NAME_OVERHEAD_BYTES + len(name or "") for name in names)
            if self._names_bytes > _MAX_NAMES_BYTES:
                raise FileRefusedError(
                    "XML_TOO_MANY_NAMES",
                    f"the file has {self._names_seen:,} different names of elements and attributes by now; "
                    "names are for columns: put what differs from row to row into their text",
                )

    def _is_too_large(self, position: int) -> bool:
        """Whether the row, of which all before ``position`` has come, is surely too large."""
        return position - self._row_after > self._limits.max_record_bytes or len(self.cells) > self._limits.max_columns

    def _handle_cells(self) -> None:
        """Have events collected: that takes one call into Python per element instead of three."""
        names, starts, add = self._names, self._starts, self._events.append

        def start(name: str, attributes: dict[str, str]) -> None:
            try:
                add(starts[name])
            except KeyError:
                # Expat hands out this object from now on wherever it finds the name, in end tags too.
                names[name] = _Name(name)
                add(starts.setdefault(name, _Start(name)))
            if attributes:
                add(attributes)

        self._parser.StartElementHandler = start
        self._parser.EndElementHandler = add
        self._parser.CharacterDataHandler = add

    def _take_events(self) -> None:  # noqa: C901  # calls would cost more than all the rest
        """Called for every piece of the file and written for speed: this is most of the time that XML takes."""
        kind, last, text, cells = self._kind, self._last_started, self._text, self.cells
        for event in self._events:
            if type(event) is str:
                text += event
            elif type(event) is _Start:
                if text and not text.isspace():
                    self._parted_text.setdefault(kind.depth, []).append(text)
                text = ""
                try:
                    kind = last = kind.children[event]
                except KeyError:
                    kind = last = self._new_kind(kind, event)
                if kind.depth == _ROW:
                    self._row_from, self._row_after = self._position, self._fed
            elif type(event) is _Name:
                if self._parted_text:
                    text = "".join([*self._parted_text.pop(kind.depth, ()), text])
                if kind is last and kind.depth > _ROW:
                    is_cell = True
                    if text.isspace() and "\n" in text:
                        text = ""
                else:
                    is_cell = kind.depth >= _ROW and text != "" and not text.isspace()
                if is_cell:
                    if kind.column not in cells:
                        cells[kind.column] = text
                    else:
                        self._repeat(kind.column, text)
                if kind.depth == _ROW:
                    self._end_row()
                    cells = self.cells
                kind = kind.parent
                text = ""
            elif kind.depth >= _ROW and isinstance(event, dict):
                kind = last = self._add_attributes(kind, event)
        self._events.clear()
        self._kind, self._last_started, self._text = kind, last, text if kind.depth >= _ROW else ""

    def _repeat(self, column: str, text: str) -> None:
        before = self.cells[column]
        if before is None:
            self.cells[column] = text
        else:
            self._repeated.setdefault(column, [before]).append(text)

    def _end_row(self) -> None:
        if self._is_too_large(self._position):
            self.rows.append((None, 0))
        else:
            for column, texts in self._repeated.items():
                self.cells[column] = _json(texts)
            self.cells.pop(_NOWHERE, None)
            self.rows.append((self.cells, self._fed - self._row_from))
        self._repeated.clear()
        self.cells = {}

    def _add_attributes(self, kind: _Kind, attributes: dict[str, str]) -> _Kind:
        """Answers the element's kind, which is another one if it is nil."""
        own = kind
        for name, value in attributes.items():
            if name.startswith(_XSI):
                if name == _XSI + "nil" and value.strip() in {"true", "1"} and kind.depth > _ROW:
                    self.cells.setdefault(kind.column)
                    own = _Kind(kind.parent, kind.path, _NOWHERE)
                continue
            column = kind.attributes.get(name)
            if column is None:
                self._count_kind(kind)
                column = kind.attributes[name] = self._attribute_column(kind.path, _local(name))
            if column not in self.cells:
                self.cells[column] = value
            else:
                self._repeat(column, value)
        return own

    def _attribute_column(self, path: str, name: str) -> str:
        marked = self._name(path, f"@{name}")
        return marked if self._columns is None or marked in self._columns else self._name(path, name)

    def _new_kind(self, parent: _Kind, start: _Start) -> _Kind:
        _check_depth(parent.depth + 1)  # no deeper kind exists, so it is enough to look here
        self._count_kind(parent)
        column = self._name(parent.path, _local(start.name))
        kind = _Kind(parent, column if parent.depth >= _ROW else "", column)
        parent.children[start] = kind
        return kind

    def _count_kind(self, kind: _Kind) -> None:
        """Kinds only save time: forget them where a file has too many."""
        self._kinds += 1
        if self._kinds > _MAX_KINDS:
            self._kinds = 0
            while kind.depth >= 0:
                kind.children.clear()
                kind.attributes.clear()
                kind = kind.parent

    def _name(self, path: str, name: str) -> str:
        """A column name; cut, so that deep nesting of long names cannot make it long."""
        return clean_name(f"{path}.{name}" if path else name)[: self._limits.max_header_chars]

    def _skip_row(self) -> None:
        """Let go of the rest of the row that is open."""
        self._skip_depth = self._kind.depth
        while self._kind.depth >= _ROW:
            self._kind = self._kind.parent
        self._text = ""
        self._parted_text.clear()
        self._repeated.clear()
        self.cells = {}
        self._parser.StartElementHandler = self._skip_start
        self._parser.EndElementHandler = self._skip_end
        self._parser.CharacterDataHandler = None

    def _skip_start(self, _name: str, _attributes: dict[str, str]) -> None:
        self._skip_depth += 1
        _check_depth(self._skip_depth)

    def _skip_end(self, _name: str) -> None:
        self._skip_depth -= 1
        if self._skip_depth < _ROW:
            self.rows.append((None, 0))
            self._handle_cells()


class XmlReader:
    """Reads one file.

    Args:
        plan: how to read it; from ``XmlSampler``.
        limits: bounds; the same for a repeated parse, or its batches differ.
    """

    def __init__(self, plan: ParsePlan, limits: ReaderLimits) -> None:
        self._limits = limits
        self._collector = RowCollector(
            plan, limits, place="row", extra_hint="the file has changed since its columns were found: upload it again"
        )
        self._bom_left = plan.bom_bytes
        self._pending = bytearray()
        # Sizes of rows are known to within two pieces.
        self._piece_bytes = max(1, min(_PIECE_BYTES, limits.max_record_bytes // 8))
        self._overflow = plan.overflow
        self._columns = [name for index, name in enumerate(plan.columns) if index != plan.overflow]
        # Most rows have all columns, and the overflow is last and empty: for them this is fastest.
        self._all_cells = itemgetter(*self._columns) if len(self._columns) > 1 else None
        self._no_overflow = () if plan.overflow is None else (None,)
        self._xml = XmlRows(plan.encoding, limits, frozenset(self._columns))

    def feed(self, data: bytes) -> list[ParsedBatch]:
        """Take the file's next bytes; answer the batches that are complete.

        Raises:
            FileRefusedError: see ``XmlRows.feed``; ``TOO_MANY_ROWS``.
        """
        dropped = min(self._bom_left, len(data))
        self._bom_left -= dropped
        self._pending += memoryview(data)[dropped:]
        whole = len(self._pending) - len(self._pending) % self._piece_bytes
        for start in range(0, whole, self._piece_bytes):
            self._xml.feed(bytes(self._pending[start : start + self._piece_bytes]))
            if len(self._xml.rows) >= _ROWS_AT_ONCE:
                self._collect()
        del self._pending[:whole]
        self._collect()
        return self._collector.take()

    def close(self) -> list[ParsedBatch]:
        """The file ends here; answer the remaining batches.

        Raises:
            FileRefusedError: see ``XmlRows.feed``; ``TOO_MANY_ROWS``.
        """
        self._xml.feed(bytes(self._pending), final=True)
        self._collect()
        return self._collector.close()

    def _collect(self) -> None:
        rows = iter(self._xml.rows)
        while portion := list(islice(rows, _ROWS_AT_ONCE)):
            self._add_rows(portion)
        self._xml.rows.clear()

    def _add_rows(self, rows: list[tuple[Cells | None, int]]) -> None:
        records: list[Record] = []
        suspect = False
        for cells, size in rows:
            if cells is None:
                self._add_records(records, suspect=suspect)
                records, suspect = [], False
                self._add_oversized()
                continue
            record = self._record(cells)
            records.append(record)
            # JSON may be larger than what it was made of: by escapes, and the overflow by its dotted names.
            suspect = suspect or size * 2 > self._limits.max_cell_bytes or self._has_large_overflow(record)
        self._add_records(records, suspect=suspect)

    def _add_records(self, records: list[Record], *, suspect: bool) -> None:
        first = self._collector.rows + 1
        self._collector.add_records(range(first, first + len(records)), records, suspect=suspect)

    def _record(self, cells: Cells) -> Record:
        if len(cells) == len(self._columns) and self._all_cells is not None:
            try:
                return self._all_cells(cells) + self._no_overflow
            except KeyError:
                pass
        record = [cells.pop(name, None) for name in self._columns]
        if self._overflow is not None:
            record.insert(self._overflow, _json(cells) if cells else None)
            return record
        return [*record, *cells.values()]

    def _has_large_overflow(self, record: Record) -> bool:
        return (
            self._overflow is not None
            and (overflow := record[self._overflow]) is not None
            and len(overflow) * 4 > self._limits.max_cell_bytes
        )

    def _add_oversized(self) -> None:
        self._collector.add_issue(
            "ROW_TOO_LARGE",
            f"row {self._collector.rows + 1} has more than {self._limits.max_record_bytes:,} bytes or more than "
            f"{self._limits.max_columns:,} cells, which is the most that can be read; shorten it, or look for a "
            "missing end tag",
        )


def _check_depth(depth: int) -> None:
    if depth >= _MAX_DEPTH:
        raise FileRefusedError(
            "XML_TOO_DEEP", f"elements are nested more than {_MAX_DEPTH} deep; look for missing end tags"
        )


def _check_namespace(_prefix: str | None, uri: str | None) -> None:
    """Every name is kept with its namespace in front: a long one would multiply."""
    if uri is not None and len(uri) > _MAX_NAMESPACE_CHARS:
        raise FileRefusedError(
            "MALFORMED_XML", f"the name of a namespace has more than {_MAX_NAMESPACE_CHARS:,} characters; shorten it"
        )


def _local(name: str) -> str:
    """The local part of expat's name, ``namespace local``."""
    return name.rpartition(" ")[2]


def _json(value: list[str] | Cells) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
