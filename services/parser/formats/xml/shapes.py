"""Rows that look like the one before, read without a look at each of their events."""

from collections.abc import Sequence
from operator import itemgetter

from services.parser.formats.api.collector import Record
from services.parser.formats.xml.events import End, Event, Start

Cells = dict[str, str | None]
"""Column name to text, in the order of the file; ``None`` is a missing cell."""


class Shape:
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

    def __init__(self, row: list[Event], texts_at: list[int], cells_at: list[int]) -> None:
        self.length = len(row)
        self._marks_of = itemgetter(*sorted({*range(len(row))} - {*texts_at}))
        self._marks = self._marks_of(row)
        # Of one place itemgetter makes no sequence, of a slice it does.
        self._texts_of = itemgetter(*texts_at) if len(texts_at) > 1 else itemgetter(slice(texts_at[0], texts_at[0] + 1))
        self._arrange = None if cells_at == [*range(len(texts_at))] else itemgetter(*cells_at)

    @classmethod
    def of(cls, row: list[Event], cells: Cells, columns: Sequence[str | None]) -> "Shape | None":
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
                if at > 1 and type(row[at - 1]) is Start and type(row[at + 1]) is End:
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

    def record(self, row: list[Event]) -> Record | None:
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
