"""Whether a column of texts holds numbers that a spreadsheet has shortened."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from libs.contracts.templates import TemplateField

_SHORTENED: Final = r"^\s*[0-9][.,][0-9]{1,5}E\+(?:1[1-9]|[2-9][0-9])\s*$"
"""How Excel shows a number of twelve digits or more in a narrow or a new column, and so exports it."""


@dataclass(slots=True)
class ShortenedColumn:
    """The column of one field of text, in a file whose cells are texts.

    ``4.00638E+12`` was the barcode ``4006381333931`` once. Nobody can tell which, so all that can be done is to say so.

    Attributes:
        of: the field.
        column: name of the column in parsed batches.
        example: the first such cell.
    """

    of: TemplateField
    column: str
    example: str | None = None

    def look(self, texts: pl.Series) -> None:
        """Take the first cells of the column into account."""
        if self.example is None:
            found = texts.filter(texts.str.contains(_SHORTENED))
            self.example = None if found.is_empty() else str(found[0]).strip()

    def notes(self) -> list[str]:
        """What was found out, for the owner of the run."""
        if self.example is None:
            return []
        shortened = f"texts such as {self.example} are numbers that a spreadsheet has shortened"
        remedy = "format the column as text there, and export the file again"
        return [f"field {self.of.name!r}: {shortened}, and their other digits are not in the file; {remedy}"]
