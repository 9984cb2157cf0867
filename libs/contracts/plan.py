"""The parse plan: how a file is read, decided once and frozen on its run.

A repeated parse reads the plan instead of deciding again, and so cuts identical batches.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, model_validator

from libs.contracts.templates import DateOrder, DecimalStyle, Percent

PARSER_VERSION = 2

_TRAITS_BY_FILE_TYPE: Mapping[str, Mapping[str, bool]] = {
    "csv": {"has_delimiter": True},
    "json": {"typed_numbers": True},
    "excel": {"typed_cells": True, "typed_numbers": True},
}
"""Of the formats of release 0.1, whose plans name the format and not its traits. Runs keep their plans: this goes when
no run of that release is stored any more."""


class ColumnMatch(BaseModel):
    """How the column of a field was found.

    Attributes:
        method: ``given`` by the upload or by position, or found by an ``exact``, ``normalised``, ``alias`` or
            ``fuzzy`` comparison of names.
        confidence: from 0 to 1; 1 where nothing was guessed.
    """

    model_config = ConfigDict(frozen=True)

    method: Literal["given", "exact", "normalised", "alias", "fuzzy"]
    confidence: float


class ColumnReading(BaseModel):
    """How the column of a field is read, for people to look at before anything is written.

    Attributes:
        decimal_style: of numbers.
        currency: what their amounts are in: an ISO 4217 code, or a name that several currencies share, such as ``$``.
        percent: what a percent sign means; numbers with one are refused where absent.
        date_format: the only form of its dates.
        date_order: of day, month and year, without a format.
        two_digit_years: what years of two digits mean, such as ``1969 to 2046``.
        words: what means true and false in a boolean column, besides the words that are known in any: a pair of letters
            such as ``J, N``, or the words of the template.
        null_values: the template's texts that mean "no value".
        decided_by: what has decided on style or order: the ``template``, its ``default`` where the column does not
            say, the ``values`` of the column, or ``most_values`` of a column whose values contradict each other.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    decimal_style: DecimalStyle | None = None
    currency: str | None = None
    percent: Percent | None = None
    date_format: str | None = None
    date_order: DateOrder | None = None
    two_digit_years: str | None = None
    words: tuple[str, ...] = ()
    null_values: tuple[str, ...] | None = None
    decided_by: Literal["template", "values", "most_values", "default"] | None = None


class ParsePlan(BaseModel):
    """Everything that decides which cells a file has and where its batches are cut.

    Attributes:
        file_type: name of the format that reads the file.
        encoding: Python codec name that decodes the file after its byte order mark.
        bom_bytes: length of the byte order mark to drop, in bytes.
        has_delimiter: whether a character separates the cells of a row.
        delimiter: that character.
        skip_rows: physical records dropped before the header.
        has_header: whether the first record after those names the columns.
        widths: of the columns of a fixed-width file.
        width_unit: what they count.
        options: what else the format needs to read the file again in the same way.
        columns: column names in file order, made unique; ``column_1`` … without a header.
        overflow: index of the column that holds, as a JSON object of texts, what a row has beyond the other
            columns; ``None`` where the columns are all there can be.
        mapping: template field name to index into ``columns``; ``None`` where the file has no
            such column (the field takes its default).
        matches: how the columns of the mapped fields were found.
        concat_columns: column that a ``concat`` names to index into ``columns``, or ``None``.
        delete_column: index of the column that marks records to delete; ``None`` where the template names none.
        unmatched: indexes of the columns that go into ``extra``; empty unless the template wants them.
        date_orders: order of day, month and year, per field that reads dates without a format.
        short_years: whether a year of two digits is the first or the last part of a date of three numbers, per field
            where that is known.
        uncounted_days: date fields in whose columns no number is a count of days, as spreadsheets have it: beside
            numbers of six digits, such as ``310324``, one of five may be a day without its zero.
        today: the day on which the plan was made.
        decimal_styles: style of the numbers, per number field.
        currencies: what the amounts of a number field are in: an ISO 4217 code, or a name that several currencies
            share, such as ``$``.
        mixed_numbers: fields whose columns hold numbers of the format, which have a point, and texts with a decimal
            comma.
        columns_read: how the column of each field is read that has one.
        letter_pairs: the letter for yes and the one for no, per boolean field whose column has single letters; ``""``
            where these are no pair.
        typed_numbers: whether numbers are written with a decimal point, as the format prescribes, whatever the texts of
            their column look like.
        typed_cells: whether the file itself says which cells are numbers and which are dates: dates are ISO 8601
            whatever the template's ``date_format`` is, numbers have a decimal point whatever the style is.
        date_1904: whether serial numbers of dates count from 1904 instead of 1900 (Excel for Mac).
        batch_rows: most rows of a batch.
        batch_bytes: most cell bytes (UTF-8) of a batch; a batch holds at least one row.
        notes: what was detected rather than given, for the owner of the run.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    parser_version: int = PARSER_VERSION
    file_type: str = "csv"
    encoding: str = "utf-8"
    bom_bytes: int = 0
    has_delimiter: bool = False
    delimiter: str = ","
    skip_rows: int = 0
    has_header: bool = True
    widths: tuple[int, ...] = ()
    width_unit: Literal["characters", "bytes"] = "characters"
    options: dict[str, Any] = {}
    columns: tuple[str, ...] = ()
    overflow: int | None = None
    mapping: dict[str, int | None] = {}
    matches: dict[str, ColumnMatch] = {}
    concat_columns: dict[str, int | None] = {}
    delete_column: int | None = None
    unmatched: tuple[int, ...] = ()
    date_orders: dict[str, DateOrder] = {}
    short_years: dict[str, Literal["first", "last"]] = {}
    uncounted_days: tuple[str, ...] = ()
    today: date | None = None
    decimal_styles: dict[str, DecimalStyle] = {}
    currencies: dict[str, str] = {}
    mixed_numbers: tuple[str, ...] = ()
    columns_read: dict[str, ColumnReading] = {}
    letter_pairs: dict[str, str] = {}
    typed_numbers: bool = False
    typed_cells: bool = False
    date_1904: bool = False
    batch_rows: int = 5_000
    batch_bytes: int = 4 * 1024 * 1024
    notes: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _traits_of_earlier_plans(cls, plan: object) -> object:
        if not isinstance(plan, Mapping):
            return plan
        given = cast("Mapping[str, object]", plan)
        return {**_TRAITS_BY_FILE_TYPE.get(str(given.get("file_type", "csv")), {}), **given}

    @property
    def shown_delimiter(self) -> str | None:
        """What separates the cells, ``None`` where nothing does."""
        return self.delimiter if self.has_delimiter else None


class RowIssue(BaseModel):
    """A row that the parser could not turn into the file's columns.

    Attributes:
        row: 1-based number over the data rows.
        code: ``EXTRA_CELLS``, ``CELL_TOO_LARGE``, ``ROW_TOO_LARGE``, ``NUL_CHARACTER``,
            ``UNDECODABLE_BYTES``, or one of the format's own such as ``NOT_AN_OBJECT`` or ``CELL_ERROR``.
        message: what is wrong, where, and how to fix it.
        cells: the cells as read, cut to a size that can be stored.
        column: index of the offending cell, where one can be named.
    """

    model_config = ConfigDict(frozen=True)

    row: int
    code: str
    message: str
    cells: tuple[str, ...] = ()
    column: int | None = None
