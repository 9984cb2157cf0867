"""Which column feeds which field, and how sure that is."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ColumnMatch
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import Concat, Template, TemplateField
from services.parser.formats.api.headers import is_numbered, listed, normalised, squeezed

FUZZY_THRESHOLD = 88
"""Of 100: ``Emial`` finds ``email`` (90), ``price`` does not find ``prize`` (80)."""
FUZZY_MARGIN = 3
"""By how much the most similar column must surpass every other one."""
_NORMALISED, _ALIAS = 0.98, 0.95
_FUZZY_SHARE = 0.9
"""A guess is never as sure as the weakest comparison that is none."""
_SHOWN_PROBLEMS = 3
_XML_MARKS = re.compile(r"(?:^|(?<=\.))@?(?:[^\W\d][\w-]*:)?(?=[^\W\d])")
"""At the beginning of each name of a path."""

_GIVEN = ColumnMatch(method="given", confidence=1)
_EXACT = ColumnMatch(method="exact", confidence=1)


@dataclass(frozen=True, slots=True)
class Matching:
    """The answer.

    Attributes:
        mapping: field to index of its column, ``None`` where it has none; every field is in it.
        matches: how the columns were found.
        ignored: columns that the upload said not to import.
        told: the upload said itself which column feeds which field.
    """

    mapping: dict[str, int | None]
    matches: dict[str, ColumnMatch]
    ignored: frozenset[int] = frozenset()
    told: bool = False


class Columns:
    """Looks headers up: exactly, then normalised where that is unambiguous, then without the marks of XML.

    Of a header that begins with ``#``, as comments do, the first column is also called what stands behind that.
    A path into XML has prefixes of namespaces, and ``@`` before attributes, which columns have only where they would be
    two of one name: ``g:price`` and ``@id`` are the columns ``price`` and ``id``.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._exact: dict[str, int] = {}
        self._normalised: dict[str, int | None] = {}
        for index, name in enumerate(names):
            self._exact[name] = index
            key = normalised(name)
            self._normalised[key] = None if key in self._normalised else index
        first = next(iter(self._exact), "")
        if (bare := first.removeprefix("#")) != first:
            self._normalised.setdefault(normalised(bare), 0)

    def find(self, header: str) -> int | None:
        """Index of the column that a header means."""
        return self.match(header)[0]

    def match(self, header: str) -> tuple[int | None, ColumnMatch]:
        """Index of the column that a header means, and how it was found."""
        exact = self._exact.get(header)
        if exact is not None:
            return exact, _EXACT
        index = self._normalised.get(normalised(header))
        if index is None and (bare := _XML_MARKS.sub("", header)) != header:
            index = self._normalised.get(normalised(bare))
        return index, ColumnMatch(method="normalised", confidence=_NORMALISED)


def match_columns(
    template: Template,
    columns: Sequence[str],
    given: Sequence[tuple[str, str | None]] | None = None,
    *,
    named: bool = True,
    overflow: int | None = None,
) -> Matching:
    """Find the column of every field.

    What the upload gives decides alone, unless it only says which columns to leave out. Otherwise a field that
    names its ``column`` reads that one, compared exactly and then without regard to case and to runs of space,
    ``_`` and ``-``. Any other field takes the column that is called like its name or its label, then like one of
    its aliases, then the most similar one from a threshold on; no two such fields take the same column. In a file
    without a header a field whose source is ``column_1``, ``column_2``, … reads that one, and any other field the
    column at its own position in the template.

    Args:
        template: the fields.
        columns: their names.
        given: pairs of header and field name, or ``None`` for a column that is not to be imported.
        named: whether the names stand in the file.
        overflow: index of the column that no field may take.

    Raises:
        FileRefusedError: ``BAD_MAPPING``; ``given`` names a column or a field that does not exist.
    """
    reading = [field for field in template.fields if field.reads_column]
    empty: dict[str, int | None] = {field.name: None for field in template.fields}
    told = _given(columns, given or (), empty)
    if told.told:
        return told
    if not named:
        mapping = empty | _by_position(reading, template, columns)
        mapping = {name: None if index in told.ignored else index for name, index in mapping.items()}
        matches = {name: _GIVEN for name, index in mapping.items() if index is not None}
        return Matching(mapping, matches, told.ignored)
    closed = {*told.ignored, overflow}
    names = [name if index not in closed else "" for index, name in enumerate(columns)]
    lookup = Columns(names)
    found: dict[str, tuple[int, ColumnMatch]] = {}
    for field in reading:
        if field.column is not None:
            index, match = lookup.match(field.column)
            if index is not None:
                found[field.name] = index, match
    free = [field for field in reading if field.column is None]
    found |= _by_names(free, names, {index for index, _ in found.values()})
    return Matching(
        empty | {name: index for name, (index, _) in found.items()},
        {name: match for name, (_, match) in found.items()},
        told.ignored,
    )


def _given(columns: Sequence[str], given: Sequence[tuple[str, str | None]], fields: dict[str, int | None]) -> Matching:
    mapping = dict(fields)
    lookup = Columns(columns)
    matches: dict[str, ColumnMatch] = {}
    ignored: set[int] = set()
    problems: list[str] = []
    for header, name in given:
        index = lookup.find(header)
        if index is None:
            problems.append(f"the file has no column {header!r}; its columns are {listed(columns)}")
        elif name is None:
            ignored.add(index)
        elif name not in mapping:
            problems.append(f"the template has no field {name!r}; its fields are {listed(list(fields))}")
        else:
            mapping[name] = index
            matches[name] = _GIVEN
    if problems:
        raise FileRefusedError(
            RunErrorCode.BAD_MAPPING,
            f"the mapping of this upload cannot be used: {'; '.join(problems[:_SHOWN_PROBLEMS])}; correct it and "
            "upload the file again",
        )
    return Matching(mapping, matches, frozenset(ignored), told=bool(matches))


def _by_position(reading: Sequence[TemplateField], template: Template, columns: Sequence[str]) -> dict[str, int | None]:
    indexes = {name: index for index, name in enumerate(columns)}
    positions = {field.name: position for position, field in enumerate(template.fields)}
    mapping: dict[str, int | None] = {}
    for field in reading:
        if field.source in indexes or is_numbered(field.source):
            mapping[field.name] = indexes.get(field.source)
        else:
            position = positions[field.name]
            mapping[field.name] = position if position < len(columns) else None
    return mapping


def _by_names(
    fields: Sequence[TemplateField], names: Sequence[str], taken: set[int]
) -> dict[str, tuple[int, ColumnMatch]]:
    """Columns for fields that name none: the surest comparison first, each column once."""
    found: dict[str, tuple[int, ColumnMatch]] = {}

    def take(wanted: Mapping[str, Iterable[str]], offered: Mapping[str, int | None], match: ColumnMatch) -> None:
        for name, spellings in wanted.items():
            if name in found:
                continue
            index = next((at for each in spellings if (at := offered.get(each)) is not None and at not in taken), None)
            if index is not None:
                found[name] = index, match
                taken.add(index)

    exact: dict[str, int | None] = {name: index for index, name in enumerate(names) if name}
    squeezed_names = [squeezed(name) for name in names]
    loose: dict[str, int | None] = {}
    for index, name in enumerate(squeezed_names):
        if name:
            loose[name] = None if name in loose else index
    own = {field.name: [field.name, *([field.label] if field.label else [])] for field in fields}
    aliases = {field.name: list(field.aliases) for field in fields}
    take(own, exact, _EXACT)
    take(_squeezed(own), loose, ColumnMatch(method="normalised", confidence=_NORMALISED))
    take(aliases, exact, ColumnMatch(method="alias", confidence=_ALIAS))
    take(_squeezed(aliases), loose, ColumnMatch(method="alias", confidence=_ALIAS))
    return found | _by_similarity(fields, names, squeezed_names, taken, set(found))


def _squeezed(spellings: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    return {name: [squeezed(each) for each in own] for name, own in spellings.items()}


def _by_similarity(
    fields: Sequence[TemplateField],
    names: Sequence[str],
    squeezed_names: Sequence[str],
    taken: set[int],
    done: set[str],
) -> dict[str, tuple[int, ColumnMatch]]:
    spellings = [
        (field.name, spelling)
        for field in fields
        if field.name not in done
        for spelling in (field.name, *([field.label] if field.label else []), *field.aliases)
    ]
    free = [index for index, name in enumerate(squeezed_names) if name and index not in taken]
    if not spellings or not free:
        return {}
    letters = process.cdist(
        [squeezed(spelling) for _, spelling in spellings],
        [squeezed_names[index] for index in free],
        scorer=fuzz.ratio,
        score_cutoff=FUZZY_THRESHOLD,
    )
    words = process.cdist(
        [normalised(spelling) for _, spelling in spellings],
        [normalised(names[index]) for index in free],
        scorer=fuzz.token_sort_ratio,
        score_cutoff=FUZZY_THRESHOLD,
    )
    scores: dict[str, npt.NDArray[np.float32]] = {}
    for (name, _), own in zip(spellings, np.maximum(letters, words), strict=True):
        scores[name] = np.maximum(scores[name], own) if name in scores else own
    found: dict[str, tuple[int, ColumnMatch]] = {}
    used: set[int] = set()
    for name, own in sorted(scores.items(), key=lambda item: -float(item[1].max())):
        places = np.argsort(-own, kind="stable")
        best, second = float(own[places[0]]), float(own[places[1]]) if len(places) > 1 else 0.0
        index = free[int(places[0])]
        # Of two columns that are as similar, neither is guessed.
        if best and best - second >= FUZZY_MARGIN and index not in used:
            found[name] = index, ColumnMatch(method="fuzzy", confidence=round(best / 100 * _FUZZY_SHARE, 2))
            used.add(index)
    return found


def concat_columns(template: Template, columns: Sequence[str]) -> dict[str, int | None]:
    """The columns that ``concat`` transforms name, by the name used there."""
    lookup = Columns(columns)
    return {
        header: lookup.find(header)
        for field in template.fields
        for transform in field.transforms
        if isinstance(transform, Concat)
        for header in transform.columns
    }


def find_delete_column(template: Template, columns: Sequence[str], matching: Matching) -> int | None:
    """The column that marks records to delete, found as one that a field names; ``None`` where the file lacks it.

    Raises:
        FileRefusedError: ``BAD_MAPPING``; the upload leaves it out, so that nobody could tell what is to be deleted.
    """
    if template.delete_column is None:
        return None
    index = Columns(columns).find(template.delete_column)
    if index is not None and index in matching.ignored:
        raise FileRefusedError(
            RunErrorCode.BAD_MAPPING,
            f"the mapping of this upload leaves out the column {template.delete_column!r}, by which the template "
            "tells which records to delete; take it out of the mapping, or use a template without delete_column",
        )
    return index


def headers_to_come(template: Template, names: Sequence[str]) -> list[str]:
    """What the template can use and no column is called, each once: headers that the template names, and the names of
    fields that would find their column by name.

    Args:
        template: the fields.
        names: columns of the file's start.
    """
    mapping = match_columns(template, names).mapping
    lookup = Columns(names)
    wanted = expected_headers(template)
    wanted += [field.name for field in template.fields if field.reads_column and field.column is None]
    fed = {field.name for field in template.fields if mapping[field.name] is not None}
    return [header for header in dict.fromkeys(wanted) if header not in fed and lookup.find(header) is None]


def expected_headers(template: Template) -> list[str]:
    """Headers that the template names itself, in its order, each once."""
    headers = [field.column for field in template.fields if field.column is not None and field.reads_column]
    for field in template.fields:
        headers += [header for each in field.transforms if isinstance(each, Concat) for header in each.columns]
    if template.delete_column is not None:
        headers.append(template.delete_column)
    return list(dict.fromkeys([*headers, *template.required_columns]))
