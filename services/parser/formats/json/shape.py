"""Where the records of a JSON file are, from its start."""

from dataclasses import dataclass

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import Template
from services.parser.formats.json.damage import Place, malformed
from services.parser.formats.json.places import Found, find_records, path_keys, path_text
from services.parser.formats.json.records import ARRAY, LINES, MEMBER, OBJECT, OBJECTS, WRAPPED
from services.parser.formats.json.values import Extent, blank_end, decode_at, decode_object, explain, kind_of

_JUDGED_LINES = 100


@dataclass(frozen=True, slots=True)
class Shape:
    """How the records stand in the file.

    Attributes:
        name: see ``detect_shape``.
        start: characters before the first record, in a list its bracket included.
        path: keys that lead to it, in an object.
        searched: whether the file may hold other records behind those, because nobody named the path and the file goes
            on behind the part that was searched.
        note: for the owner of the run.
    """

    name: str
    start: int
    path: tuple[str, ...] = ()
    searched: bool = False
    note: str | None = None


def detect_shape(text: str, template: Template, *, whole_file: bool) -> Shape:
    """The shape.

    - ``array``: the file starts with ``[``.
    - ``wrapped:data.items``: an object with the list of records at a path, see ``places.find_records``.
    - ``member:data``: an object with the one record at a path.
    - ``object``: any other object, if nothing follows it.
    - ``lines``: the first object is one line and another line follows; or at least half of the first lines
      are objects. A file of one line is an object, wrapped or not.
    - ``objects``: anything else that starts with a complete object.

    Args:
        text: of the file's start.
        template: with the path of the records, or with the columns that tell it.
        whole_file: whether that is all of it.

    Raises:
        FileRefusedError: ``EMPTY_FILE``, ``NO_RECORDS``, ``RECORDS_UNCLEAR``, ``MALFORMED_JSON``.
    """
    at = blank_end(text, 0)
    if at == len(text):
        raise FileRefusedError(
            RunErrorCode.EMPTY_FILE, "the file is empty or holds only blanks; upload a file with records"
        )
    if text[at] == "[":
        found = Shape(ARRAY, at + 1)
    else:
        found = _object_shape(text, at, template, whole_file=whole_file) if text[at] == "{" else None
        if found is None and _has_object_lines(text, whole_file=whole_file):
            found = Shape(LINES, 0)
    if found is None:
        raise _no_records(text, at, whole_file=whole_file)
    told = template.source.record_path
    if told is not None and found.name in {ARRAY, LINES, OBJECTS} and path_keys(told):
        raise FileRefusedError(
            RunErrorCode.NO_RECORDS,
            f"the template's record_path {told!r} leads into an object, and the file is a list of records itself; "
            "leave record_path out, or upload the file that has the records there",
        )
    return found


def _object_shape(text: str, at: int, template: Template, *, whole_file: bool) -> Shape | None:
    """The shape of a text with an object at ``text[at]``; ``None`` if that does not end and wraps nothing."""
    end = Extent().feed(text, at)
    rest = len(text) if end is None else blank_end(text, end)
    if end is not None and text[rest : rest + 1] == "{":
        one_line = "\n" not in text[at:end]
        return Shape(LINES, 0) if one_line and "\n" in text[end:rest] else Shape(OBJECTS, at)
    found = find_records(text, at, template, ends=end is not None)
    if found is not None and (found.path or rest == len(text)):
        return _shape_of(found, template, whole_file=whole_file)
    if end is None:
        return None
    one_line = "\n" not in text[at:end]
    if one_line and "\n" in text[end:rest]:
        return Shape(LINES, 0)
    return None if one_line else Shape(OBJECTS, at)


def _shape_of(found: Found, template: Template, *, whole_file: bool) -> Shape:
    if not found.path:
        return Shape(OBJECT, found.start, note=found.note)
    name = f"{WRAPPED if found.is_list else MEMBER}{path_text(found.path)}"
    searched = template.source.record_path is None and not whole_file
    return Shape(name, found.start, found.path, searched, found.note)


def _has_object_lines(text: str, *, whole_file: bool) -> bool:
    lines = text.split("\n", 2 * _JUDGED_LINES)
    if not whole_file or len(lines) > 2 * _JUDGED_LINES:
        lines.pop()
    judged = [stripped for line in lines if (stripped := line.strip(" \t\r"))][:_JUDGED_LINES]
    return len(judged) > 1 and 2 * sum(decode_object(line) is not None for line in judged) >= len(judged)


def _no_records(text: str, at: int, *, whole_file: bool) -> FileRefusedError:
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
                "the file starts with one very large object, and no list of records was found in its start; make the "
                "file a list of objects, or write that list before everything else",
            )
        what, where = explain(error)
        return malformed(what, Place(), text, 0, where)
    rest = blank_end(text, end)
    if rest < len(text):
        return malformed("the value has ended before this, and something follows", Place(), text, 0, rest)
    return FileRefusedError(
        RunErrorCode.NO_RECORDS,
        f"the file holds {kind_of(value)}, not records; it should be a list of objects, an object with such a list in "
        "it, or one object a line",
    )
