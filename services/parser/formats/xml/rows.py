"""The rows of an XML file.

What is what:

- A row is an element at the path that the plan names (see ``places``), or a child element of the root. What is
  around the rows and beside them is no data. Where the path was found out, an element of another name among the rows
  that was not there in the file's start is a row that cannot be read.
- Attributes of the row and its child elements are columns, named by their local names: namespace prefixes do
  not count. Whatever is nested has a dotted name: ``address.city``, ``price.currency``.
- An attribute goes to the column ``@id`` if there is one, which is so where the start of the file has both an
  attribute and an element ``id`` in the same place; else to ``id``.
- Values of one row that have the same name, such as repeated elements, become one cell: a JSON array of texts.
- The text of an element is all of its own text, whatever stands between; but where elements stand between, it is
  not the one value that is asked for, see ``Nested``. It stays as it is, but text
  that is only white space with a line end is indentation: none. An element without text and children is an
  empty cell; one that has children and no text is no cell. The text of a row is a column named like the row.
- ``xsi:nil="true"`` is a missing cell. Other attributes of that namespace are no data.
- Comments and processing instructions are no data; CDATA is text.

A file with a DOCTYPE is refused before expat sees any of it, so there are no entities to be expanded or fetched.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import length_hint

from libs.contracts.errors import FileRefusedError
from services.parser.formats.api.collector import Record
from services.parser.formats.api.headers import clean_name
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.xml.blocks import RowBlock
from services.parser.formats.xml.decoding import Decoder
from services.parser.formats.xml.events import End, Event, EventParser, Start
from services.parser.formats.xml.places import ANY, ROOT_CHILDREN
from services.parser.formats.xml.prolog import Prolog
from services.parser.formats.xml.shapes import Cells, Shape

_MAX_KINDS = 50_000
_ROW = 1
_EARLIER = -1
_NOWHERE = ""
_ROWS_PER_SHAPE = 16
_MOST_ROWS_WITHOUT_SHAPE = 4_096
_EVENTS_AT_ONCE = 64
_XSI = "http://www.w3.org/2001/XMLSchema-instance "


_OUTSIDE = -1


@dataclass(frozen=True, slots=True)
class Stray:
    """A row that cannot be read, because it is an element of another name than the rows."""

    name: str


@dataclass(frozen=True, slots=True)
class Nested:
    """A row that cannot be read, because elements stand where one value is asked for, or within its text.

    Attributes:
        column: that should have the value.
        inner: a dotted name within it.
        cells: of the row.
    """

    column: str
    inner: str
    cells: Cells


Row = Cells | Record | Stray | Nested | RowBlock | None
"""A row as it was found, see ``XmlRows.rows``."""


class _Kind:
    """Elements at one place of the document, made when the first of them comes.

    Attributes:
        level: 1 for the root.
        depth: 1 for a row, 0 for all that is in none.
        steps: how many names of the path have been met on the way to an element that is in no row; ``_OUTSIDE`` if it
            does not lead to rows.
        stray: whether it is one, see ``Stray``.
        path: dotted name within the row; empty for the row.
        column: where the text goes; ``_NOWHERE`` for an element that is nil.
        children: by their start tags.
        attributes: columns by expat's name of the attribute.
    """

    __slots__ = ("attributes", "children", "column", "depth", "level", "parent", "path", "steps", "stray")

    def __init__(
        self,
        parent: "_Kind | None",
        path: str,
        column: str,
        depth: int = 0,
        steps: int = _OUTSIDE,
        *,
        stray: bool = False,
    ) -> None:
        self.parent = parent or self
        self.level = 0 if parent is None else parent.level + 1
        self.depth = depth
        self.steps = steps
        self.stray = stray
        self.path = path
        self.column = column
        self.children: dict[Start, _Kind] = {}
        self.attributes: dict[str, str] = {}


class XmlRows:
    """Finds the rows of an XML file.

    Args:
        encoding: Python codec name that decodes the file.
        limits: bounds on rows and names.
        columns: those of the plan, ``None`` for one that no cell goes to. Attributes go to them, see the module;
            without them every attribute has its ``@``.
        row_path: names of the elements from the root to a row, see ``places``.
        beside: names of elements that may stand among the rows; any where absent.
        asked: columns that have to be cells where their elements are there at all.
        declared: whether the file itself says that it has this encoding; then its bytes may say otherwise.

    Attributes:
        rows: every row since the caller emptied the list, and the most bytes of UTF-8 that it may have. A row is its
            cells, or already the record for ``columns``, or ``None`` if it has more than ``max_record_bytes`` bytes
            or ``max_columns`` cells, or a ``Stray`` or ``Nested``.
        cells: those of the row that is not complete yet.
    """

    def __init__(
        self,
        encoding: str,
        limits: ReaderLimits,
        columns: Sequence[str | None] | None = None,
        row_path: Sequence[str] = ROOT_CHILDREN,
        beside: Collection[str] | None = None,
        asked: Collection[str] = (),
        *,
        declared: bool = False,
    ) -> None:
        self.rows: list[tuple[Row, int]] = []
        self._row_path = (ANY, *row_path[1:])
        self._beside = beside
        self._asked = asked
        self._nested: tuple[str, str] | None = None
        self._around_rows = len(row_path) - 1
        self.cells: Cells = {}
        self._decoder = Decoder(encoding, declared=declared)
        self._limits = limits
        self._columns = columns
        self._attribute_columns = None if columns is None else frozenset(columns)
        self._parser = EventParser(limits.max_record_bytes)
        self._events = self._parser.events
        self._prolog: Prolog | None = Prolog()
        self._fed = 0
        self._kind = self._last_started = _Kind(None, "", "", steps=0)
        self._kinds = 0
        self._text: str = ""
        self._parted_text: dict[int, list[str]] = {}
        self._repeated: dict[str, list[str]] = {}
        self._shape: Shape | None = None
        self._rows_to_learn = 1
        self._rows_alike = 0
        self._rows_without_shape = _ROWS_PER_SHAPE
        self._row_starts_at = 0
        self._position = 0
        self._row_from = 0
        self._row_after = 0
        self._skips = False

    def feed(self, data: bytes, *, final: bool = False) -> None:
        """Take the file's next bytes; what is refused depends on the pieces, so let them not depend on chance.

        Raises:
            FileRefusedError: ``MALFORMED_XML``, ``XML_DTD_FORBIDDEN``, ``XML_TOO_DEEP``, ``XML_TOKEN_TOO_LARGE``,
                ``XML_TOO_MANY_NAMES``, ``WRONG_ENCODING``.
        """
        text = self._decoder.decode(data, final=final)
        if self._prolog is not None:
            begins = self._prolog.feed(text)
            text = self._prolog.text
            if not begins and not final:
                self._parser.check_token(len(text))
                return
            self._prolog = None
        self._parse(text.encode(), final=final)

    def _parse(self, content: bytes, *, final: bool) -> None:
        """Take the next piece of the document as UTF-8."""
        self._fed += len(content)
        try:
            self._parser.feed(content, final=final)
        except FileRefusedError:
            self._take_events()  # what they are refused for stands before that
            raise
        self._take_events()
        self._position = self._parser.position
        self._parser.check_token(self._fed - self._position)
        self._parser.check_names()
        if self._kind.depth >= _ROW and self._is_too_large(self._position):
            self._skip_row()

    def _is_too_large(self, position: int) -> bool:
        """Whether the row, of which all before ``position`` has come, is surely too large."""
        return position - self._row_after > self._limits.max_record_bytes or len(self.cells) > self._limits.max_columns

    def _take_events(self) -> None:
        """Called for every piece of the file."""
        at = 0
        while at < len(self._events):
            if self._shape is not None and self._kind.steps == self._around_rows:
                at = self._take_alike(self._shape, at)
            at = self._take_some(at)
        self._events.clear()
        self._row_starts_at = _EARLIER

    def _take_alike(self, shape: Shape, at: int) -> int:
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
        events: Iterator[Event] = iter(self._events[at:stop])
        kind, last, text, cells = self._kind, self._last_started, self._text, self.cells
        for event in events:
            if type(event) is str:
                text += event
            elif type(event) is Start:
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
            elif type(event) is End:
                if self._parted_text and (pieces := self._parted_text.pop(kind.depth, None)) is not None:
                    if (len(pieces) > 1 or text.strip()) and kind.depth > _ROW and kind.column in self._asked:
                        self._nested = kind.column, last.path
                    text = "".join([*pieces, text])
                if kind is last and kind.depth > _ROW:
                    is_cell = True
                    if text.isspace() and "\n" in text:
                        text = ""
                else:
                    is_cell = kind.depth >= _ROW and text != "" and not text.isspace()
                    if not is_cell and kind.depth > _ROW and kind.column in self._asked:
                        self._nested = kind.column, last.path
                if is_cell:
                    if kind.column not in cells:
                        cells[kind.column] = text
                    else:
                        self._repeat(kind.column, text)
                is_row = kind.depth == _ROW
                text = ""
                if is_row:
                    self._end_row(kind)
                kind = kind.parent
                if is_row:
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
            self._shape = Shape.of(self._events[self._row_starts_at : end], cells, self._columns) or self._shape
            self._rows_alike = 0

    def _repeat(self, column: str, text: str) -> None:
        before = self.cells[column]
        if before is None:
            self.cells[column] = text
        else:
            self._repeated.setdefault(column, [before]).append(text)

    def _end_row(self, kind: _Kind) -> None:
        if kind.stray:
            self.rows.append((Stray(kind.column), 0))
        elif self._is_too_large(self._position):
            self.rows.append((None, 0))
        else:
            for column, texts in self._repeated.items():
                self.cells[column] = json_text(texts)
            self.cells.pop(_NOWHERE, None)
            row = self.cells if self._nested is None else Nested(*self._nested, self.cells)
            self.rows.append((row, self._fed - self._row_from))
        self._forget_row()

    def _forget_row(self) -> None:
        """Nothing of a row is left for the next one."""
        self._repeated.clear()
        self.cells = {}
        self._nested = None

    def _add_attributes(self, kind: _Kind, attributes: list[str]) -> _Kind:
        """Answers the element's kind, which is another one if it is nil."""
        own = kind
        names_and_values = iter(attributes)
        for name, value in zip(names_and_values, names_and_values, strict=True):
            if name.startswith(_XSI):
                if name[len(_XSI) :] == "nil" and value.strip() in {"true", "1"} and kind.depth > _ROW:
                    self.cells.setdefault(kind.column)
                    own = _Kind(kind.parent, kind.path, _NOWHERE, kind.depth)
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

    def _new_kind(self, parent: _Kind, start: Start) -> _Kind:
        self._parser.check_depth(parent.level)  # no deeper kind exists, so it is enough to look here
        self._count_kind(parent)
        name = _local(start.name)
        column = self._name(parent.path, name)
        if parent.depth >= _ROW:
            kind = _Kind(parent, column, column, parent.depth + 1)
        else:
            kind = self._new_kind_outside(parent, name, column)
        parent.children[start] = kind
        return kind

    def _new_kind_outside(self, parent: _Kind, name: str, column: str) -> _Kind:
        """A kind that is in no row: a row, one that leads to rows, or one that does not."""
        steps, among_rows = parent.steps, parent.steps == self._around_rows
        if steps != _OUTSIDE and self._row_path[steps] in {name, ANY}:
            return _Kind(parent, "", column, _ROW) if among_rows else _Kind(parent, "", column, steps=steps + 1)
        if self._beside is not None and (among_rows and name not in self._beside):
            return _Kind(parent, "", column, _ROW, stray=True)
        return _Kind(parent, "", column)

    def _count_kind(self, kind: _Kind) -> None:
        """Kinds only save time: forget them where a file has too many."""
        self._kinds += 1
        if self._kinds > _MAX_KINDS:
            self._kinds = 0
            while True:
                kind.children.clear()
                kind.attributes.clear()
                if kind.parent is kind:
                    break
                kind = kind.parent

    def _name(self, path: str, name: str) -> str:
        """A column name; cut, so that deep nesting of long names cannot make it long."""
        return clean_name(f"{path}.{name}" if path else name)[: self._limits.max_header_chars]

    def _skip_row(self) -> None:
        """Let go of the rest of the row that is open."""
        self._skips = True
        self._parser.skip(self._kind.depth, self._end_skipped_row)
        while self._kind.depth >= _ROW:
            self._kind = self._kind.parent
        self._text = ""
        self._parted_text.clear()
        self._forget_row()

    def _end_skipped_row(self) -> None:
        self._skips = False
        self.rows.append((None, 0))


def _local(name: str) -> str:
    """The local part of expat's name, ``namespace local``."""
    return name.rpartition(" ")[2]


def json_text(value: list[str] | Cells) -> str:
    """JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
