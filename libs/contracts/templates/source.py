"""How a file is read."""

from typing import Annotated, Literal

from pydantic import Field

from libs.contracts.templates.parts import MAX_FIELDS, FileType, Header, TemplatePart, added

Hidden = Literal["include", "skip"]
"""What becomes of what a sheet hides."""


class ColumnWidth(TemplatePart):
    """One column of a fixed-width file.

    Attributes:
        name: its header, where the file has no header line.
        width: in the ``width_unit`` of the format.
    """

    name: Header | None = None
    width: int = Field(ge=1, le=100_000)


class SourceFormat(TemplatePart):
    """How the file is read; ``None`` means: find out from the file.

    Attributes:
        file_type: name of a registered format: ``csv``, ``json``, ``xml``, ``fixed_width``, ``excel``, ….
        delimiter: for ``csv``.
        encoding: of text formats, a codec name of Python.
        has_header: whether the first row names the columns; by default it does, except in fixed-width files.
        skip_rows: rows before the header that are dropped.
        skip_footer_rows: for ``csv`` and ``excel``: rows at the end that are dropped.
        comment_prefix: for ``csv``: what lines begin with that are no rows, wherever they stand.
        quote_char: for ``csv``: what cells are enclosed in; empty where quotes are plain text.
        escape_char: for ``csv``: what makes the next quote part of the text; empty where nothing does.
        column_widths: for ``fixed_width``.
        width_unit: what ``column_widths`` count.
        sheet: for ``excel``: name, or index from 0; the first visible worksheet where absent.
        record_path: for ``json`` and ``xml``: where the records are, see docs/formats.md.
        hidden_rows: for ``excel``: whether rows that are hidden are read like the others.
        hidden_columns: for ``excel``: likewise.
    """

    file_type: FileType | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: str | None = Field(default=None, max_length=40)
    has_header: bool | None = None
    skip_rows: int = Field(default=0, ge=0, le=1_000)
    skip_footer_rows: int | None = added(default=None, ge=0, le=1_000)
    comment_prefix: str | None = added(default=None, min_length=1, max_length=10)
    quote_char: str | None = added(default=None, max_length=1)
    escape_char: str | None = added(default=None, max_length=1)
    column_widths: tuple[ColumnWidth, ...] = Field(default=(), max_length=MAX_FIELDS)
    width_unit: Literal["characters", "bytes"] = "characters"
    sheet: Annotated[int, Field(ge=0, le=10_000)] | Annotated[str, Field(min_length=1, max_length=100)] | None = None
    record_path: str | None = added(default=None, min_length=1, max_length=1_000)
    hidden_rows: Hidden = added(default="include")
    hidden_columns: Hidden = added(default="include")
