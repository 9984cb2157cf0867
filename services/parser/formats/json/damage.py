"""Refusals of files of which nobody can tell where the next record is, or which list holds them."""

from typing import NamedTuple

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from services.parser.formats.api.encoding import MARKS, line_ends


class Place(NamedTuple):
    """Where in the file, both from 1; columns are characters."""

    line: int = 1
    column: int = 1

    def after(self, text: str, start: int, end: int) -> "Place":
        """The place of ``text[end]`` if this is that of ``text[start]``."""
        lines = line_ends(text[start:end].encode("utf-8", "surrogatepass"))
        if lines:
            return Place(self.line + lines, end - text.rfind("\n", start, end))
        return Place(self.line, self.column + end - start)


def malformed(what: str, place: Place, text: str, start: int, at: int) -> FileRefusedError:
    """Refuse a file for what stands at ``text[at]``; ``place`` is that of ``text[start]``."""
    place = place.after(text, start, at)
    if (bad := MARKS.match(text, at)) is not None:
        what += f" (the byte 0x{ord(bad[0]) & 0xFF:02X} there does not fit the file's encoding)"
    return FileRefusedError(
        RunErrorCode.MALFORMED_JSON,
        f"line {place.line:,}, column {place.column:,}: {what}; from there on the file cannot be read, correct it or "
        "export it again",
    )


def other_records(what: str) -> FileRefusedError:
    """Refuse a file in which other records may stand behind those that were found."""
    return FileRefusedError(
        RunErrorCode.RECORDS_UNCLEAR,
        f"behind the records that were found stand {what}, which may be the ones that are meant; name the right list "
        "in the template as record_path",
    )
