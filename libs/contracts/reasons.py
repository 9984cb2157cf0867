"""Why a row is skipped or rejected, and why a run fails: the stable codes that rows, runs and events carry.

Clients decide by these, so a code is never renamed or given another meaning. A format of somebody else may give
its rows and files codes of its own; they follow the same form: words in upper case, with ``_`` between them.
"""

from enum import StrEnum


class SkipReason(StrEnum):
    """Why a sound row changes nothing. Of a run that was stopped, the rows that nothing became of are skipped with
    the ``RunErrorCode`` of the stop."""

    UNCHANGED = "UNCHANGED"
    """The record is already what the row says."""
    DUPLICATE_UPSERT_KEY = "DUPLICATE_UPSERT_KEY"
    """A later row of the file has the same upsert key and wins."""
    EMPTY_UPSERT_KEY = "EMPTY_UPSERT_KEY"
    """Without a value for the upsert key the record could never be found again."""
    NOT_FOUND = "NOT_FOUND"
    """No live record has the upsert key of the row, and the row may only change or delete one."""


class KeptReason(StrEnum):
    """Why a record stays as it is when the run that wrote it is reverted."""

    CHANGED = "CHANGED"
    """Somebody else has changed it since."""
    GONE = "GONE"
    """Somebody else has removed it since."""
    KEY_TAKEN = "KEY_TAKEN"
    """As it was before, it would have a key that another record has by now."""
    REFUSED = "REFUSED"
    """Rules or indexes of the target refuse it as it was before."""
    ROWS_EXPIRED = "ROWS_EXPIRED"
    """What the run wrote is no longer stored, so nobody can tell whether it was changed since."""


class SyncReason(StrEnum):
    """Why a sync asks before it deletes."""

    EMPTY_FILE = "EMPTY_FILE"
    """The file holds no record at all."""
    UNFINISHED_FILE = "UNFINISHED_FILE"
    """The last line of the file is not ended: it may be cut off."""
    UNCLEAR_KEYS = "UNCLEAR_KEYS"
    """Of some rows it is not sure which record they mean; it may be one of those that would go."""
    LARGE_SHARE = "LARGE_SHARE"
    """A larger share of the records would go than the installation lets pass."""
    MORE_THAN_CONFIRMED = "MORE_THAN_CONFIRMED"
    """More records would go than was confirmed."""


class RowErrorCode(StrEnum):
    """Why a row is rejected, or kept with a warning."""

    # The file: the row could not be read.
    EXTRA_CELLS = "EXTRA_CELLS"
    """It has more cells than the file has columns."""
    CELL_TOO_LARGE = "CELL_TOO_LARGE"
    """One of its cells has more bytes than can be read."""
    ROW_TOO_LARGE = "ROW_TOO_LARGE"
    """It has more bytes than can be read, or than a record can hold."""
    NUL_CHARACTER = "NUL_CHARACTER"
    """A cell holds the character NUL."""
    UNDECODABLE_BYTES = "UNDECODABLE_BYTES"
    """A cell holds bytes that are no text in the encoding of the file."""
    TAB_IN_LINE = "TAB_IN_LINE"
    """Fixed width: a tab has shifted what follows it."""
    SPLIT_CHARACTER = "SPLIT_CHARACTER"
    """Fixed width: a character of several bytes goes on behind the end of its column."""
    CELL_ERROR = "CELL_ERROR"
    """Excel: the cell shows an error instead of a value."""
    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    """JSON: something else stands where a record should."""
    MALFORMED_RECORD = "MALFORMED_RECORD"
    """JSON Lines: the line is no JSON."""
    NESTED_TOO_DEEP = "NESTED_TOO_DEEP"
    """JSON: the record is nested deeper than can be read."""
    DUPLICATE_KEY_IN_RECORD = "DUPLICATE_KEY_IN_RECORD"
    """JSON: the record has a key twice."""
    NESTED_VALUE = "NESTED_VALUE"
    """JSON, XML: where a column of the template should have a value stand others within it."""
    LONE_SURROGATE = "LONE_SURROGATE"
    """JSON: a text holds half of a character."""
    UNEXPECTED_ELEMENT = "UNEXPECTED_ELEMENT"
    """XML: an element of another name than the rows stands among them."""
    UNKNOWN_KEY = "UNKNOWN_KEY"
    """JSON: the record has a key that the plan of its file does not know."""

    # The template: a cell is not what its field asks for.
    REQUIRED = "REQUIRED"
    """The cell is empty."""
    NOT_A_NUMBER = "NOT_A_NUMBER"
    NUMBER_OUT_OF_RANGE = "NUMBER_OUT_OF_RANGE"
    """The number cannot be stored exactly."""
    NOT_AN_INTEGER = "NOT_AN_INTEGER"
    """The number has decimals."""
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_DATE = "INVALID_DATE"
    INVALID_BOOLEAN = "INVALID_BOOLEAN"
    INVALID_PHONE = "INVALID_PHONE"
    INVALID_URL = "INVALID_URL"
    INVALID_OPTION = "INVALID_OPTION"
    """The text is none of the options of the field."""
    TOO_SHORT = "TOO_SHORT"
    TOO_LONG = "TOO_LONG"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    ABOVE_MAXIMUM = "ABOVE_MAXIMUM"
    PATTERN_MISMATCH = "PATTERN_MISMATCH"
    """The text does not have the form that the rule ``regex`` describes."""
    NOT_ALLOWED = "NOT_ALLOWED"
    """The text is none of the values of the rule ``enum``."""
    COMPARISON_FAILED = "COMPARISON_FAILED"
    """The value does not relate to that of another field as the rule ``compare`` says."""
    TEXT_TOO_LARGE = "TEXT_TOO_LARGE"
    """The transforms made the text of the cell longer than can be checked."""
    MORE_ERRORS = "MORE_ERRORS"
    """Says how many further errors the row has."""

    UNCLEAR_DELETION = "UNCLEAR_DELETION"
    """The column that marks records to delete says neither yes nor no."""

    OUT_OF_SCOPE = "OUT_OF_SCOPE"
    """The record of the row is, or would be, none of those that the scope of a sync stands for."""

    # The whole file, and the records that exist.
    DUPLICATE_VALUE = "DUPLICATE_VALUE"
    """An earlier row of the file holds the value that is to be unique."""
    EXISTS_IN_TARGET = "EXISTS_IN_TARGET"
    """A record holds the value that is to be unique."""
    DUPLICATE_KEY = "DUPLICATE_KEY"
    """A unique index of the target allows no second record with the values of the row."""
    RECORD_TOO_LARGE = "RECORD_TOO_LARGE"
    """The record would be greater than MongoDB allows."""
    TARGET_SCHEMA = "TARGET_SCHEMA"
    """The rules that the target collection has of its own (its validator) refuse the record."""
    TARGET_REFUSED = "TARGET_REFUSED"
    """MongoDB refuses the record for another reason, which the message names."""


class RunErrorCode(StrEnum):
    """Why a run ended as failed or cancelled, or why its file was refused."""

    CANCELLED = "CANCELLED"
    """Somebody asked for it."""
    DRY_RUN_OVER = "DRY_RUN_OVER"
    """It was only tried, and its result was handed over."""
    INVALID_ROWS = "INVALID_ROWS"
    """Rows are invalid and the template lets none pass."""

    # The file cannot be read at all.
    UNSUPPORTED_FILE = "UNSUPPORTED_FILE"
    """No format knows what the file holds."""
    UNKNOWN_FILE_TYPE = "UNKNOWN_FILE_TYPE"
    """The template names a format that does not exist here."""
    EMPTY_FILE = "EMPTY_FILE"
    NOT_TEXT = "NOT_TEXT"
    """The file holds binary data, and its format is one of text."""
    UNKNOWN_ENCODING = "UNKNOWN_ENCODING"
    WRONG_ENCODING = "WRONG_ENCODING"
    """The file is not written in the encoding that it or the template names."""
    BAD_DELIMITER = "BAD_DELIMITER"
    """The template's delimiter cannot separate cells, or the file's has several characters."""
    HEADER_TOO_LARGE = "HEADER_TOO_LARGE"
    """The header has more bytes than can be read."""
    UNTERMINATED_QUOTE = "UNTERMINATED_QUOTE"
    """A quote that opens a cell is never closed."""
    MALFORMED_QUOTE = "MALFORMED_QUOTE"
    """Text follows the quote that closes a cell."""
    NO_COLUMN_WIDTHS = "NO_COLUMN_WIDTHS"
    """Fixed width: the template does not say how wide the columns are."""
    UNCLEAR_WIDTHS = "UNCLEAR_WIDTHS"
    """Fixed width: the lines are padded by something else than characters."""
    NO_RECORDS = "NO_RECORDS"
    """JSON: there is no list of objects in the file."""
    RECORDS_UNCLEAR = "RECORDS_UNCLEAR"
    """JSON and XML: the rows may stand in several places of the file, and the template names none."""
    DRAWN_TABLE = "DRAWN_TABLE"
    """CSV: the file is a table drawn for people, with a line of dashes under its header."""
    UNCLEAR_HEADER = "UNCLEAR_HEADER"
    """The header consists of several rows, or what should be it does not name columns."""
    MALFORMED_JSON = "MALFORMED_JSON"
    MALFORMED_XML = "MALFORMED_XML"
    XML_DTD_FORBIDDEN = "XML_DTD_FORBIDDEN"
    """XML: the file declares a document type."""
    XML_TOKEN_TOO_LARGE = "XML_TOKEN_TOO_LARGE"  # noqa: S105
    """XML: a tag, a text or a comment has more bytes than can be read."""
    XML_TOO_MANY_NAMES = "XML_TOO_MANY_NAMES"
    XML_TOO_DEEP = "XML_TOO_DEEP"
    NOT_EXCEL = "NOT_EXCEL"
    FILE_TOO_COMPLEX = "FILE_TOO_COMPLEX"
    """Excel: the workbook needs more time or memory than it is given."""
    FILE_ENCRYPTED = "FILE_ENCRYPTED"
    UNSAFE_ARCHIVE = "UNSAFE_ARCHIVE"
    """Excel: the archive unpacks to more than can be read, or is not what it says."""
    CORRUPT_FILE = "CORRUPT_FILE"
    UNKNOWN_SHEET = "UNKNOWN_SHEET"
    """Excel: the workbook has no sheet of the name or number that the template gives."""

    # The file can be read, and is not what the template expects.
    TOO_MANY_ROWS = "TOO_MANY_ROWS"
    TOO_MANY_COLUMNS = "TOO_MANY_COLUMNS"
    MISSING_COLUMNS = "MISSING_COLUMNS"
    """The file lacks columns without which the template refuses it."""
    BAD_MAPPING = "BAD_MAPPING"
    """The column mapping of the upload names columns or fields that do not exist."""
    INVALID_PATTERN = "INVALID_PATTERN"
    """A regular expression of the template cannot be compiled."""
    MODE_NOT_SUPPORTED = "MODE_NOT_SUPPORTED"
    """The writer cannot write runs of the template's mode."""
    TARGET_UNWRITABLE = "TARGET_UNWRITABLE"
    """Nothing can be written to the target collection: it is a view, capped, or without rights."""
    DELETES_NOT_CONFIRMED = "DELETES_NOT_CONFIRMED"
    """No failure: a sync waits to be told that so many records may be deleted."""
    DELETE_REFUSED = "DELETE_REFUSED"
    """The target collection refuses that a record is marked as deleted, which the file of a sync does not hold."""
    KEYS_NOT_UNIQUE = "KEYS_NOT_UNIQUE"
    """Records of the target have the same values in fields whose values the template asks to be unique."""
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    """With the template's transforms, the rows of a batch become more than can be handled."""
    RECORDS_TOO_LARGE = "RECORDS_TOO_LARGE"
    """The records of a batch together reach 2 GiB."""

    # A file of corrections is not what its run handed out.
    NO_ROW_NUMBERS = "NO_ROW_NUMBERS"
    """It has no column that says which row of the run each of its rows is."""
    OTHER_RUN = "OTHER_RUN"
    """It holds rows of another run."""
    BAD_ROW_NUMBERS = "BAD_ROW_NUMBERS"
    """Some of its rows have no number, one that is none, or one that no rejected row of the run has."""
    REPEATED_ROW_NUMBERS = "REPEATED_ROW_NUMBERS"
    """Some of its rows have the same number."""
    UNREADABLE_ROWS = "UNREADABLE_ROWS"
    """Some of its rows could not become cells."""
    NOTHING_TO_RETRY = "NOTHING_TO_RETRY"
    """None of its rows is open or corrected any more, or it has none."""

    # Something is wrong with Rowdock or with what it runs on.
    PARSE_FAILED = "PARSE_FAILED"
    """Reading the file ended without a result again and again."""
    BATCH_FAILED = "BATCH_FAILED"
    """The work at one batch ended without a result again and again."""
    NON_DETERMINISTIC_PARSE = "NON_DETERMINISTIC_PARSE"
    """The file, read again, gave other rows."""
    STORED_FILE_DAMAGED = "STORED_FILE_DAMAGED"
    """The stored file is not the one that was uploaded."""
    UNREADABLE_DOCUMENT = "UNREADABLE_DOCUMENT"
    """What is stored of the run holds something that this release cannot read; a newer one wrote it."""
    ROWS_EXPIRED = "ROWS_EXPIRED"
    """The rows of the run are no longer stored."""
    INTEGRITY = "INTEGRITY"
    """The counts of the ledger do not add up."""


OWN_FAULTS = frozenset(
    {
        RunErrorCode.PARSE_FAILED,
        RunErrorCode.BATCH_FAILED,
        RunErrorCode.NON_DETERMINISTIC_PARSE,
        RunErrorCode.STORED_FILE_DAMAGED,
        RunErrorCode.UNREADABLE_DOCUMENT,
        RunErrorCode.ROWS_EXPIRED,
        RunErrorCode.INTEGRITY,
    }
)
"""Codes of failures that are Rowdock's own, or of what it runs on: no other file would have fared better."""
