"""The refusal of a file that lacks columns, which says of each why it is not there and what to do about it."""

from collections.abc import Iterable, Mapping, Sequence

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import Concat, Template, TemplateField
from services.parser.formats.api.file_format import Layout
from services.parser.formats.api.headers import counted, is_numbered, listed, normalised
from services.parser.planning.matching import Columns, Matching


def refuse_missing_columns(
    template: Template,
    layout: Layout,
    columns: Sequence[str],
    matching: Matching,
    joined: Mapping[str, int | None],
) -> None:
    """Refuse a file in which a required field, every field, or what marks records to delete is without a column.

    Args:
        template: what is required.
        layout: of the file.
        columns: all of the plan's.
        matching: which of them feed fields.
        joined: columns that ``concat`` names, see ``matching.concat_columns``.

    Raises:
        FileRefusedError: ``MISSING_COLUMNS``.
    """
    lookup = Columns(columns)
    mapped = {field.source for field in template.fields if matching.mapping[field.name] is not None}
    headers = [name for name in template.required_columns if name not in mapped and lookup.find(name) is None]
    if template.delete_column is not None and lookup.find(template.delete_column) is None:
        headers.append(template.delete_column)
    fields: list[TemplateField] = []
    for field in template.fields:
        if not field.required or field.filled_when_empty or matching.mapping[field.name] is not None:
            continue
        parts = [part for each in field.transforms if isinstance(each, Concat) for part in each.columns]
        if not parts:
            fields.append(field)
        elif all(joined[part] is None for part in parts):
            headers += parts
    if not headers and not fields and not mapped and all(index is None for index in joined.values()):
        fields = [field for field in template.fields if field.reads_column]
    if headers or fields:
        reasons = _Reasons(layout, columns, matching, lookup)
        raise FileRefusedError(RunErrorCode.MISSING_COLUMNS, "; ".join(reasons.of(headers, fields)))


class _Reasons:
    """Sentences about columns that are missing, all of one kind together."""

    def __init__(self, layout: Layout, columns: Sequence[str], matching: Matching, lookup: Columns) -> None:
        self._layout = layout
        self._columns = columns
        self._matching = matching
        self._lookup = lookup

    def of(self, headers: Sequence[str], fields: Sequence[TemplateField]) -> Iterable[str]:
        """The sentences.

        Args:
            headers: columns that the template asks for.
            fields: fields that have no column.
        """
        left_out = [field for field in fields if self._lookup.find(field.source) in self._matching.ignored]
        if left_out:
            yield (
                f"the mapping of this upload leaves out {_columns_of(left_out)}, so nothing can be read for "
                f"{_fields(left_out)}; let the mapping take {'them' if len(left_out) > 1 else 'it'} in"
            )
        others = [field for field in fields if field not in left_out]
        by_place = [] if self._layout.named else [field for field in others if not is_numbered(field.source)]
        if others and self._matching.told:
            yield (
                f"the mapping of this upload names no column for {_fields(others)}; add one of the file's columns, "
                f"which are {listed(self._columns)}, or send no mapping to have them found by their names"
            )
        elif by_place:
            yield (
                f"the file has {counted(len(self._columns), 'column')} and no header row, so each field reads the "
                f"column at its own place in the template, and none is left for {_fields(by_place)}; add the missing "
                "columns, or set has_header to true if the first row holds names"
            )
        named = [] if self._matching.told else [field.source for field in others if field not in by_place]
        headers = [*headers, *named]
        yield from self._of_headers(list(dict.fromkeys(headers)))

    def _of_headers(self, headers: Sequence[str]) -> Iterable[str]:
        absent: list[str] = []
        for header in headers:
            alike = [name for name in self._columns if normalised(name) == normalised(header)]
            if len(alike) > 1:
                yield (
                    f"several columns could be {header!r}: {listed(alike)}; write the header in the template exactly "
                    "as it stands in the file"
                )
            else:
                absent.append(header)
        if absent:
            yield (
                f"the file has no column {listed(absent)}; its columns are {listed(self._columns)}; "
                f"correct the header row of the file, or the column names in the template{self._hint()}"
            )

    def _hint(self) -> str:
        if len(self._columns) == 1 and self._layout.settings.get("has_delimiter"):
            return " (if all names stand in one column, the delimiter is another one: set it in the template)"
        return ""


def _fields(fields: Sequence[TemplateField]) -> str:
    return f"the field{'s' if len(fields) > 1 else ''} {listed([field.name for field in fields])}"


def _columns_of(fields: Sequence[TemplateField]) -> str:
    names = list(dict.fromkeys(field.source for field in fields))
    return f"the column{'s' if len(names) > 1 else ''} {listed(names)}"
