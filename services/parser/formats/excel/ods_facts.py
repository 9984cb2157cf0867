"""The facts of a table of an ODS ``content.xml``, by patterns over its bytes; a file without anything special costs a
few searches."""

import html
import re
from collections.abc import Iterator

from services.parser.formats.excel.sheet_facts import SheetFacts
from services.parser.formats.excel.xlsx_facts import duration_text

_TAG = re.compile(rb"<(/?)table:(table|table-column|table-row|table-cell|covered-table-cell)(?=[\s/>])([^<>]*)>")
_REPEATED = re.compile(rb"table:number-(?:rows|columns)-repeated=\"([0-9]{1,7})\"")
_SPANNED = re.compile(rb"table:number-(columns|rows)-spanned=\"([0-9]{1,7})\"")
_HIDDEN = re.compile(rb"table:visibility=\"(?:collapse|filter)\"")
_ERROR = re.compile(rb"value-type=\"error\"")
_VALUE_TYPE = re.compile(rb"office:value-type=\"([a-z]+)\"")
_VALUE = re.compile(rb"office:value=\"([0-9]{1,15})(?:\.0+)?\"")
_TIME = re.compile(rb"office:time-value=\"(-?P[^\"]*)\"")
_TIME_OF_DAY = re.compile(rb"PT(?:[01][0-9]|2[0-3])H[0-5][0-9]M[0-5][0-9]S")
_SPECIAL = re.compile(
    rb"value-type=\"error\"|table:visibility=\"(?:collapse|filter)\"|<text:(?:tab|line-break|ruby)\b|-spanned=\""
    rb"|office:time-value=\"|table:formula=\"|<text:p>[0-9]+[-/.][0-9/.-]+</text:p>|<text:p>0[0-9 ]+</text:p>"
)
_TEXT = re.compile(rb"<text:p[^<>]*>([^<]*)<")
_SHOWN = re.compile(rb"\s*<text:p>([0-9]+(?:[ /.-][0-9]+)*)</text:p>\s*")
_REWRITTEN = re.compile(rb"<text:(?:tab|line-break|ruby)\b")
_END_OF_CELL = b"</table:table-cell>"
_PARAGRAPH = re.compile(r"<text:p(?:\s[^<>]*)?(?:/>|>(.*?)</text:p>)", re.DOTALL)
_NOTE = re.compile(r"<office:annotation\b.*?</office:annotation>|<text:ruby-text\b.*?</text:ruby-text>", re.DOTALL)
_BLANKS = re.compile(r"<text:s(?:\s+text:c=\"([0-9]{1,4})\")?\s*/>")
_ANY_TAG = re.compile(r"<[^<>]*>")
_MOST_REPEATS = 2**14
"""Of one cell: a longer run is formatting, and a file may claim any number."""
_ROWS_OF_A_HEADER = 1_100


def ods_facts(content: bytes, sheet: int) -> SheetFacts:
    """The facts of one table.

    Args:
        content: the part.
        sheet: index of the table.
    """
    facts = SheetFacts()
    if not _SPECIAL.search(content):
        return facts
    for rows, columns, attributes, end in _cells(content, sheet, facts):
        said = _VALUE_TYPE.search(attributes)
        kind = said[1] if said else b""
        if b"-spanned" in attributes and rows.start < _ROWS_OF_A_HEADER:
            spans = {name: int(number) for name, number in _SPANNED.findall(attributes)}
            bottom, right = rows.start + spans.get(b"rows", 1) - 1, columns.start + spans.get(b"columns", 1) - 1
            facts.merged.append((rows.start, columns.start, bottom, right))
        if _ERROR.search(attributes):
            text = _TEXT.search(content, end, _end_of(content, end))
            _put(facts.marks, rows, columns, text[1].decode("utf-8", "replace") if text else "#ERROR!")
        elif b"table:formula=" in attributes and not kind:
            _put(facts.marks, rows, columns, "")
        elif (text := _other_text(content, kind, attributes, end)) is not None:
            _put(facts.texts, rows, columns, text)
    return facts


def _put(marks: dict[int, dict[int, str]], rows: range, columns: range, text: str) -> None:
    for row in rows[:_MOST_REPEATS]:
        marks.setdefault(row, {}).update(dict.fromkeys(columns[:_MOST_REPEATS], text))


def _end_of(content: bytes, start: int) -> int:
    end = content.find(_END_OF_CELL, start)
    return len(content) if end < 0 else end


def _other_text(content: bytes, kind: bytes, attributes: bytes, start: int) -> str | None:
    """The text of a cell, if the library makes another one of it."""
    if attributes.endswith(b"/"):
        return None
    if kind == b"time":
        time = _TIME.search(attributes)
        return (
            duration_text(time[1].decode("utf-8", "replace")) if time and not _TIME_OF_DAY.fullmatch(time[1]) else None
        )
    if kind == b"float":
        value, shown = _VALUE.search(attributes), _SHOWN.match(content, start)
        return _filled_up(value[1].decode(), shown[1].decode()) if value and shown else None
    if kind == b"string":
        end = _end_of(content, start)
        if _REWRITTEN.search(content, start, end):
            return _text(content[start:end].decode("utf-8", "replace"))
    return None


def _filled_up(value: str, shown: str) -> str | None:
    """What a number shows, if that is its digits with zeros before them, or in groups of digits that no number has."""
    digits = re.sub(r"[ /.-]", "", shown)
    if int(digits) != int(value) or shown == value:
        return None
    return shown if (shown.startswith("0") and shown[1:2] != ".") or "-" in shown or "/" in shown else None


def _text(cell: str) -> str:
    paragraphs = [found[1] or "" for found in _PARAGRAPH.finditer(_NOTE.sub("", cell))]
    texts = [
        _BLANKS.sub(lambda blanks: " " * int(blanks[1] or 1), paragraph)
        .replace("<text:tab/>", "\t")
        .replace("<text:line-break/>", "\n")
        for paragraph in paragraphs
    ]
    return html.unescape(_ANY_TAG.sub("", "\n".join(texts)))


def _cells(content: bytes, sheet: int, facts: SheetFacts) -> Iterator[tuple[range, range, bytes, int]]:
    """Rows, columns, attributes and end of the tag of every cell of a table; what is hidden is noted."""
    table, column = -1, 0
    rows = range(0)
    declared = 0
    for tag in _TAG.finditer(content):
        closing, name, attributes = tag.groups()
        if name == b"table":
            table += not closing
        elif table != sheet or closing:
            continue
        elif name == b"table-column":
            here = range(declared, declared + _repeats(attributes))
            declared = here.stop
            if _HIDDEN.search(attributes):
                facts.hidden_columns.update(here[:_MOST_REPEATS])
        elif name == b"table-row":
            rows = range(rows.stop, rows.stop + _repeats(attributes))
            column = 0
            if _HIDDEN.search(attributes):
                facts.hidden_rows.update(rows[:_MOST_REPEATS])
        else:
            columns = range(column, column + _repeats(attributes))
            column = columns.stop
            yield rows, columns, attributes, tag.end()


def _repeats(attributes: bytes) -> int:
    repeated = _REPEATED.search(attributes)
    return int(repeated[1]) if repeated else 1
