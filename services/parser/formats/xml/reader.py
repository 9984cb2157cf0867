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
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter, length_hint
from xml.parsers import expat

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.collector import Record, RowCollector
from services.parser.formats.api.headers import clean_name
from services.parser.formats.api.limits import ReaderLimits

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
_EARLIER = -1
_NOWHERE = ""
_ROWS_PER_SHAPE = 16
_MOST_ROWS_WITHOUT_SHAPE = 4_096
_EVENTS_AT_ONCE = 64
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
    """The name of an element; alone it stands for an end tag among the events.

    It equals nothing but itself, so that no text passes for an end tag.

    Attributes:
        start: the start tag of the same name.
    """

    __slots__ = ("start",)

    def __init__(self, name: str) -> None:
        self.start = _Start(name)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = str.__hash__


_Event = _Start | _Name | str | list[str]
"""A start tag, an end tag, a piece of text, or the attributes of the start tag before it: name, value, name, …."""


class _Shape:
    """How a row looks whose texts alone differ from those of the row before, and where its cells are.

    A shape has no attributes, no repeated elements, and no text but indentation beside elements; so has every row
    with the same tags and indentation in the same places. Most rows are like the one before, and to see that takes
    a few calls for the row instead of a loop over its events.

    Args:
        row: the events of a whole row.
        texts_at: where the texts of its cells are, ascending; at least one.
        cells_at: for every column of the plan the index of its text, of those that ``texts_at`` names and, after
            them, a missing and an empty one.
    """

    __slots__ = ("_arrange", "_marks", "_marks_of", "_texts_of", "length")

    def __init__(self, row: list[_Event], texts_at: list[int], cells_at: list[int]) -> None:
        self.length = len(row)
        self._marks_of = itemgetter(*sorted({*range(len(row))} - {*texts_at}))
        self._marks = self._marks_of(row)
        # Of one place itemgetter makes no sequence, of a slice it does.
        self._texts_of = itemgetter(*texts_at) if len(texts_at) > 1 else itemgetter(slice(texts_at[0], texts_at[0] + 1))
        self._arrange = None if cells_at == [*range(len(texts_at))] else itemgetter(*cells_at)

    @classmethod
    def of(cls, row: list[_Event], cells: Cells, columns: Sequence[str | None]) -> "_Shape | None":
        """The shape of a row, if it has one.

        Args:
            row: its events.
            cells: what was found in it.
            columns: as for ``XmlRows``.
        """
        texts_at: list[int] = []
        texts: list[str] = []
        for at, event in enumerate(row):
            if type(event) is str:
                # The text of the row itself, at 1, has rules of its own.
                if at > 1 and type(row[at - 1]) is _Start and type(row[at + 1]) is _Name:
                    texts_at.append(at)
                    texts.append(event)
                elif not event.isspace():
                    return None
            elif type(event) is list:
                return None
        filled = [name for name, cell in cells.items() if cell]
        # Otherwise a text is one of several of a repeated element, or only a line end.
        if not texts or texts != [cells[name] for name in filled] or not cells.keys() <= set(columns):
            return None
        missing, empty = len(texts), len(texts) + 1
        index_of: dict[str | None, int] = {
            **dict.fromkeys(cells, empty),
            **{name: index for index, name in enumerate(filled)},
        }
        return cls(row, texts_at, [index_of.get(name, missing) for name in columns])

    def record(self, row: list[_Event]) -> Record | None:
        """The cells of a row in the order of the plan, if it has this shape."""
        if len(row) != self.length or self._marks_of(row) != self._marks:
            return None
        texts = self._texts_of(row)
        try:
            if "\n" in "".join(texts):  # perhaps a text is only white space
                return None
        except TypeError:  # attributes of an empty element
            return None
        return texts if self._arrange is None else self._arrange((*texts, None, ""))


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
        columns: those of the plan, ``None`` for one that no cell goes to. Attributes go to them, see the module;
            without them every attribute has its ``@``.

    Attributes:
        rows: every row since the caller emptied the list, and the most bytes of UTF-8 that it may have. A row is its
            cells, or already the record for ``columns``, or ``None`` if it has more than ``max_record_bytes`` bytes
            or ``max_columns`` cells.
        cells: those of the row that is not complete yet.
    """

    def __init__(self, encoding: str, limits: ReaderLimits, columns: Sequence[str | None] | None = None) -> None:
        self.rows: list[tuple[Cells | Record | None, int]] = []
        self.cells: Cells = {}
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._limits = limits
        self._columns = columns
        self._attribute_columns = None if columns is None else frozenset(columns)
        self._names: dict[str, str] = {}
        self._names_seen = 0
        self._names_bytes = 0
        self._line = 1
        self._fed = 0
        self._prolog: str | None = ""
        self._prolog_seen = 0
        self._kind = self._last_started = _Kind(None, "", "")
        self._kinds = 0
        self._text: str = ""
        self._parted_text: dict[int, list[str]] = {}
        self._repeated: dict[str, list[str]] = {}
        self._skip_depth = 0
        self._events: list[_Event] = []
        self._shape: _Shape | None = None
        self._rows_to_learn = 1
        self._rows_alike = 0
        self._rows_without_shape = _ROWS_PER_SHAPE
        self._row_starts_at = 0
        self._position = 0
        self._row_from = 0
        self._row_after = 0
        # The encoding given here wins over the file's declaration: what expat gets is UTF-8 always.
        self._parser = expat.ParserCreate("utf-8", " ", self._names)
        self._parser.buffer_text = True
        self._parser.ordered_attributes = True
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
        names, add = self._names, self._events.append

        def start(name: str, attributes: list[str]) -> None:
            if isinstance(name, _Name):
                add(name.start)
            else:
                # Expat hands out this object from now on wherever it finds the name, in end tags too.
                names[name] = known = _Name(name)
                add(known.start)
            if attributes:
                add(attributes)

        self._parser.StartElementHandler = start
        self._parser.EndElementHandler = add
        self._parser.CharacterDataHandler = add

    def _take_events(self) -> None:
        """Called for every piece of the file."""
        at = 0
        while at < len(self._events):
            if self._kind.depth < _ROW and self._shape is not None:
                at = self._take_alike(self._shape, at)
            at = self._take_some(at)
        self._events.clear()
        self._row_starts_at = _EARLIER

    def _take_alike(self, shape: _Shape, at: int) -> int:
        """Take the rows from an event on that have a shape; answer the first event that is left."""
        events, rows, record_of, length = self._events, self.rows, shape.record, shape.length
        size = self._fed - self._position
        while True:
            if at < len(events) and type(events[at]) is str:
                at += 1  # text of the root
            record = record_of(events[at : at + length])
            if record is None:
                return at
            rows.append((record, size))
            self._rows_alike += 1
            at += length

    def _take_some(self, at: int) -> int:  # noqa: C901  # calls would cost more than all the rest
        """Take some events from one on, none after a row that may be followed by alike ones; answer the first left.

        Written for speed: where rows differ, this is much of the time that XML takes.
        """
        stop = len(self._events)
        if self._shape is not None:
            stop = min(at + _EVENTS_AT_ONCE, stop)
        events: Iterator[_Event] = iter(self._events[at:stop])
        kind, last, text, cells = self._kind, self._last_started, self._text, self.cells
        for event in events:
            if type(event) is str:
                text += event
            elif type(event) is _Start:
                if text and not text.isspace() and kind.depth >= _ROW:
                    self._parted_text.setdefault(kind.depth, []).append(text)
                text = ""
                try:
                    kind = last = kind.children[event]
                except KeyError:
                    kind = last = self._new_kind(kind, event)
                if kind.depth == _ROW:
                    self._row_from, self._row_after = self._position, self._fed
                    self._row_starts_at = stop - length_hint(events) - 1
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
                is_row = kind.depth == _ROW
                kind = kind.parent
                text = ""
                if is_row:
                    self._end_row()
                    cells = self.cells
                    self._rows_to_learn -= 1
                    if self._rows_to_learn <= 0 and self._row_starts_at != _EARLIER:
                        self._learn_shape(stop - length_hint(events))
                    if self._shape is not None:
                        stop -= length_hint(events)
                        break
            elif kind.depth >= _ROW and isinstance(event, list):
                kind = last = self._add_attributes(kind, event)
        self._kind, self._last_started, self._text = kind, last, text if kind.depth >= _ROW else ""
        return stop

    def _learn_shape(self, end: int) -> None:
        """Let the next rows be tried for the shape of the one that was just taken, if it has one.

        Finding it costs as much as the row itself, and trying it in vain a part of that. So only some rows are for
        learning, and fewer and fewer where a shape was found in less than half of the rows after it.

        Args:
            end: the first event after the row.
        """
        cells = self.rows[-1][0]
        self._rows_to_learn = _ROWS_PER_SHAPE
        if self._shape is not None and self._rows_alike < _ROWS_PER_SHAPE:
            self._shape = None
            self._rows_without_shape = min(4 * self._rows_without_shape, _MOST_ROWS_WITHOUT_SHAPE)
            self._rows_to_learn = self._rows_without_shape
        elif self._columns is not None and isinstance(cells, dict):
            if self._shape is not None:
                self._rows_without_shape = _ROWS_PER_SHAPE
            self._shape = _Shape.of(self._events[self._row_starts_at : end], cells, self._columns) or self._shape
            self._rows_alike = 0

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

    def _add_attributes(self, kind: _Kind, attributes: list[str]) -> _Kind:
        """Answers the element's kind, which is another one if it is nil."""
        own = kind
        names_and_values = iter(attributes)
        for name, value in zip(names_and_values, names_and_values, strict=True):
            if name.startswith(_XSI):
                if name[len(_XSI) :] == "nil" and value.strip() in {"true", "1"} and kind.depth > _ROW:
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
        known = self._attribute_columns
        return marked if known is None or marked in known else self._name(path, name)

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
        columns = [None if index == plan.overflow else name for index, name in enumerate(plan.columns)]
        self._xml = XmlRows(plan.encoding, limits, columns)

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

    def _add_rows(self, rows: list[tuple[Cells | Record | None, int]]) -> None:
        records: list[Record] = []
        suspect = False
        for cells, size in rows:
            if cells is None:
                self._add_records(records, suspect=suspect)
                records, suspect = [], False
                self._add_oversized()
                continue
            record = self._record(cells) if isinstance(cells, dict) else cells
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
