"""Whether numbers in a date column are days as spreadsheets count them."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from libs.contracts.templates import TemplateField
from libs.values.serial_days import SERIAL_DAY

_DIGITS_OF_A_DAY: Final = "^(?:[0-9]{6}|0[0-9]{4})$"


@dataclass(slots=True)
class SerialColumn:
    """The column of one field with dates, in a file whose cells are texts.

    ``45382`` alone is 31 March 2024 as spreadsheets count. Beside ``310324`` it may have lost the zero of its day.

    Attributes:
        of: the field.
        column: name of the column in parsed batches.
        serials: whether there are numbers of five digits.
        days_in_digits: whether there are numbers that are no such count, and may be day, month and year.
    """

    of: TemplateField
    column: str
    serials: bool = False
    days_in_digits: bool = False

    def look(self, texts: pl.Series) -> None:
        """Take more of the column into account, as ``date_columns.date_texts`` gives it."""
        self.serials = self.serials or bool(texts.str.contains(SERIAL_DAY).any())
        self.days_in_digits = self.days_in_digits or bool(texts.str.contains(_DIGITS_OF_A_DAY).any())

    @property
    def open(self) -> bool:
        """Whether more of the column may decide."""
        return self.serials and not self.days_in_digits

    @property
    def uncounted(self) -> bool:
        """Whether no number of the column is a count of days."""
        return self.serials and self.days_in_digits

    def notes(self) -> list[str]:
        """What was found out, for the owner of the run."""
        if not self.uncounted:
            return []
        why = "because beside those of six they may be days without their zero; say date_format"
        return [f"field {self.of.name!r}: numbers of five digits are refused, {why}"]
