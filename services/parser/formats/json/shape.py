"""Where the records of a JSON file are, from its start."""

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from services.parser.formats.json.records import (
    ARRAY,
    LINES,
    OBJECT,
    OBJECTS,
    WRAPPED,
    WRAPPERS,
    Place,
    malformed,
)
from services.parser.formats.json.values import Extent, blank_end, decode_at, decode_object, explain, kind_of

_JUDGED_LINES = 100


def detect_shape(text: str, *, whole_file: bool) -> tuple[str, int]:
    """The shape, and how many characters stand before the first record, in an array its bracket included.

    - ``array``: the file starts with ``[``.
    - ``wrapped:data``: an object one of whose keys ``WRAPPERS`` has an array; the first such key counts.
    - ``object``: any other object, if nothing follows it.
    - ``lines``: the first object is one line and another line follows; or at least half of the first lines
      are objects. A file of one line is an object, wrapped or not.
    - ``objects``: anything else that starts with a complete object.

    Args:
        text: of the file's start.
        whole_file: whether that is all of it.

    Raises:
        FileRefusedError: ``EMPTY_FILE``, ``NO_RECORDS``, ``MALFORMED_JSON``.
    """
    at = blank_end(text, 0)
    if at == len(text):
        raise FileRefusedError(
            RunErrorCode.EMPTY_FILE, "the file is empty or holds only blanks; upload a file with records"
        )
    if text[at] == "[":
        return ARRAY, at + 1
    found = _object_shape(text, at) if text[at] == "{" else None
    if found is None and _has_object_lines(text, whole_file=whole_file):
        found = LINES, 0
    if found is None:
        raise _no_records(text, at, whole_file=whole_file)
    return found


def _object_shape(text: str, at: int) -> tuple[str, int] | None:
    """The shape of a text with an object at ``text[at]``; ``None`` if that does not end and wraps nothing."""
    wrapped = _find_wrapped(text, at)
    end = Extent().feed(text, at)
    if end is None:
        return wrapped
    rest = blank_end(text, end)
    if text[rest : rest + 1] != "{":
        if wrapped is not None:
            return wrapped
        if rest == len(text):
            return OBJECT, at
    one_line = "\n" not in text[at:end]
    if one_line and "\n" in text[end:rest]:
        return LINES, 0
    return (OBJECTS, at) if text[rest] == "{" or not one_line else None


def _find_wrapped(text: str, at: int) -> tuple[str, int] | None:
    """The first array of records among the members of the object at ``text[at]``."""
    try:
        while text[at] in "{,":
            key, at = decode_at(text, blank_end(text, at + 1))
            at = blank_end(text, at)
            if not isinstance(key, str) or text[at] != ":":
                return None
            at = blank_end(text, at + 1)
            if key in WRAPPERS and text[at] == "[":
                return f"{WRAPPED}{key}", at + 1
            at = blank_end(text, decode_at(text, at)[1])
    except (ValueError, IndexError, RecursionError):
        pass  # malformed, or the text ends here
    return None


def _has_object_lines(text: str, *, whole_file: bool) -> bool:
    lines = text.split("\n", 2 * _JUDGED_LINES)
    if not whole_file or len(lines) > 2 * _JUDGED_LINES:
        lines.pop()
    judged = [stripped for line in lines if (stripped := line.strip(" \t\r"))][:_JUDGED_LINES]
    return len(judged) > 1 and 2 * sum(decode_object(line) is not None for line in judged) >= len(judged)


def _no_records(text: str, at: int, *, whole_file: bool) -> FileRefusedError:
    wrappers = ", ".join(repr(key) for key in WRAPPERS)
    try:
        value, end = decode_at(text, at)
    except RecursionError:
        return FileRefusedError(
            RunErrorCode.NO_RECORDS,
            "lists and objects stand too deep within each other; the file should be a list of objects",
        )
    except ValueError as error:
        if text[at] == "{" and not whole_file:
            return FileRefusedError(
                RunErrorCode.NO_RECORDS,
                f"the file starts with one very large object, and none of its keys {wrappers} was found there with a "
                "list of records; put the records into one of them, or make the file a list of objects",
            )
        what, where = explain(error)
        return malformed(what, Place(), text, 0, where)
    rest = blank_end(text, end)
    if rest < len(text):
        return malformed("the value has ended before this, and something follows", Place(), text, 0, rest)
    return FileRefusedError(
        RunErrorCode.NO_RECORDS,
        f"the file holds {kind_of(value)}, not records; it should be a list of objects, an object with such a list "
        f"under one of the keys {wrappers}, or one object a line",
    )
