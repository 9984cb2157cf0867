"""How large the parts of a file may be; every limit is a setting of the parser service."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """Bounds that keep the reader's memory and its row issues small. Sizes are bytes of UTF-8.

    Attributes:
        max_columns: most columns of a file; beyond it the file is refused.
        max_header_chars: longer column names are cut.
        max_cell_bytes: a larger cell makes its row an issue.
        max_record_bytes: a larger record (with its quotes and delimiters) makes its row an issue;
            also the most that is kept of a record that is not complete yet.
        max_rows: most data rows of a file (``_row`` is a uint32); beyond it the file is refused.
        block_bytes: most of the file that is parsed at once; no result depends on it.
        issue_cells: most cells kept in a row issue.
        issue_cell_chars: most characters kept of each of them.
    """

    max_columns: int = 16_384
    max_header_chars: int = 300
    max_cell_bytes: int = MIB
    max_record_bytes: int = 4 * MIB
    max_rows: int = 2**32 - 1
    block_bytes: int = 960 * 1024
    issue_cells: int = 200
    issue_cell_chars: int = 1_000
