"""The parse plan: how a file is read, decided once and frozen on its run.

A repeated parse reads the plan instead of deciding again, and so cuts identical batches.
"""

from pydantic import BaseModel, ConfigDict

PARSER_VERSION = 1


class ParsePlan(BaseModel):
    """Everything that decides which cells a file has and where its batches are cut.

    Attributes:
        encoding: Python codec name that decodes the file after its byte order mark.
        bom_bytes: length of the byte order mark to drop, in bytes.
        delimiter: one character.
        skip_rows: physical records dropped before the header.
        has_header: whether the first record after those names the columns.
        columns: column names in file order, made unique; ``column_1`` … without a header.
        mapping: template field name to index into ``columns``; ``None`` where the file has no
            such column (the field takes its default).
        batch_rows: most rows of a batch.
        batch_bytes: most cell bytes (UTF-8) of a batch; a batch holds at least one row.
        notes: what was detected rather than given, for the owner of the run.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    parser_version: int = PARSER_VERSION
    file_type: str = "csv"
    encoding: str = "utf-8"
    bom_bytes: int = 0
    delimiter: str = ","
    skip_rows: int = 0
    has_header: bool = True
    columns: tuple[str, ...] = ()
    mapping: dict[str, int | None] = {}
    batch_rows: int = 5_000
    batch_bytes: int = 4 * 1024 * 1024
    notes: tuple[str, ...] = ()


class RowIssue(BaseModel):
    """A row that the parser could not turn into the file's columns.

    Attributes:
        row: 1-based number over the data rows.
        code: ``EXTRA_CELLS``, ``CELL_TOO_LARGE``, ``ROW_TOO_LARGE``, ``NUL_CHARACTER`` or
            ``UNDECODABLE_BYTES``.
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
