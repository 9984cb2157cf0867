"""Which of several places in a nested file holds its records, told by the columns that the template asks for.

A list of objects stands beside other members, an element repeats within others: both the list and what surrounds it may
be what a template means by a row. ``choose`` takes the place that offers more of the template's columns than every
other, and says so by answering nothing where no place does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import Concat, Template
from services.parser.formats.api.headers import listed, squeezed


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """A place that may hold the records.

    Attributes:
        path: as ``record_path`` names it.
        columns: names that its records have.
    """

    path: str
    columns: frozenset[str]


def choose(places: Sequence[RecordPlace], template: Template) -> RecordPlace | None:
    """The place that offers all the columns of the template that another one does, and more than each other.

    Of a single place nothing is asked.
    """
    if len(places) < 2:
        return places[0] if places else None
    offered = _offered(places, template)
    best = max(range(len(places)), key=lambda at: len(offered[at]))
    others = (found for at, found in enumerate(offered) if at != best)
    return places[best] if all(found < offered[best] for found in others) else None


def offers_any(places: Sequence[RecordPlace], template: Template) -> bool:
    """Whether a place has a column of the template."""
    return any(_offered(places, template))


def unclear(places: Iterable[RecordPlace], what: str) -> FileRefusedError:
    """The refusal of a file whose records may stand in several places.

    Args:
        places: all of them.
        what: they are, in the plural: ``lists``, ``elements``.
    """
    paths = list(dict.fromkeys(place.path for place in places))
    return FileRefusedError(
        RunErrorCode.RECORDS_UNCLEAR,
        f"the rows of the file can be any of the {what} {listed(paths)}, and its columns do not tell which; "
        "name the right one in the template as record_path",
    )


def _offered(places: Sequence[RecordPlace], template: Template) -> list[set[int]]:
    """For each place, the numbers of the template's wishes that it fulfils."""
    wishes = [{squeezed(name) for name in names} - {""} for names in _wishes(template)]
    found: list[set[int]] = []
    for place in places:
        columns = {squeezed(name) for name in place.columns}
        found.append({number for number, names in enumerate(wishes) if not columns.isdisjoint(names)})
    return found


def _wishes(template: Template) -> Iterable[Iterable[str]]:
    """Headers any of which would do, for each column that the template reads."""
    for field in template.fields:
        if field.reads_column:
            yield (field.source, *([field.label] if field.label else []), *field.aliases)
        for each in field.transforms:
            if isinstance(each, Concat):
                yield from ((name,) for name in each.columns)
    yield from ((name,) for name in template.required_columns)
