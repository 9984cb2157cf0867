"""How closely the cells of a batch are looked at: ordinary ones pay nothing for what others need."""

from typing import Final, NamedTuple


class Care(NamedTuple):
    """What of a template's reading a batch needs. More care than needed gives the same result, only slower.

    Attributes:
        cells: columns that hold more than ASCII; ``None`` for all.
        fields: fields in which a text was met that the plain way of reading refuses and another may not: a word for "no
            value", an unusual e-mail address; ``None`` for all.
    """

    cells: frozenset[str] | None
    fields: frozenset[str] | None

    def covers(self, other: "Care") -> bool:
        """Whether this is at least as much as the other."""
        return self.joined(other) == self

    def joined(self, other: "Care") -> "Care":
        """As much as both need."""
        cells = None if self.cells is None or other.cells is None else self.cells | other.cells
        fields = None if self.fields is None or other.fields is None else self.fields | other.fields
        return Care(cells, fields)

    def beyond_ascii(self, cell: str) -> bool:
        return self.cells is None or cell in self.cells

    def closely(self, field: str) -> bool:
        return self.fields is None or field in self.fields


NO_CARE: Final = Care(frozenset(), frozenset())
FULL_CARE: Final = Care(None, None)
