"""What a file format has to offer: find out what the columns are, then read the rows.

A format that Rowdock does not know can be added without touching it: a package offers an object of this shape under
the entry point group ``rowdock.formats``; its name is the ``file_type`` of templates. See docs/formats.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypedDict

import pyarrow as pa

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.limits import ReaderLimits


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a file before it is read.

    Attributes:
        size: in bytes.
        ascii_only: no byte is above 127.
    """

    size: int
    ascii_only: bool = False


class PlanSettings(TypedDict, total=False):
    """The fields of ``ParsePlan`` that the format decides; see there. All can be left out."""

    encoding: str
    bom_bytes: int
    has_delimiter: bool
    delimiter: str
    skip_rows: int
    has_header: bool
    widths: tuple[int, ...]
    width_unit: Literal["characters", "bytes"]
    typed_numbers: bool
    typed_cells: bool
    date_1904: bool
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a format found out about a file from its start.

    Attributes:
        columns: names in file order, unique and clean (see ``headers.column_names``).
        named: the names stand in the file; otherwise fields may also be mapped by position.
        complete: no other column can come further on, so that a column that is missing here is missing. Otherwise
            the plan also has the columns that the template asks for.
        overflow: rows may have values that none of the columns takes; the plan has a column for them, the last one
            (see ``ParsePlan.overflow``).
        nested: whether a column ``a.b`` may stand for what is within a value ``a``.
        hollow: columns ``a`` that have no value in the file's start, while their ``a.b`` have.
        keys: what the rows call ``columns``, if they name their cells; the reader gets all of them by ``column_keys``.
        notes: what was found out rather than told, for the owner of the run.
        settings: what the reader has to know.
        first_rows: the first rows as a table of text columns ``c0``, ``c1``, …, where the format has them
            anyway; it saves reading the file once more to find out how its dates and numbers are written.
    """

    columns: tuple[str, ...]
    named: bool = True
    complete: bool = True
    overflow: bool = False
    nested: bool = False
    hollow: frozenset[str] = frozenset()
    keys: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    settings: PlanSettings = field(default_factory=PlanSettings)
    first_rows: pa.Table | None = None


def column_keys(plan: ParsePlan) -> tuple[str, ...]:
    """What rows that name their cells call the plan's columns; of an overflow, the name of its column."""
    keys = list(plan.columns)
    for key, index in plan.options.get("keys", ()):
        keys[index] = key
    return tuple(keys)


def asked_keys(plan: ParsePlan) -> frozenset[str]:
    """What rows that name their cells call the columns that the template reads."""
    keys = column_keys(plan)
    read = {*plan.mapping.values(), *plan.concat_columns.values(), plan.delete_column} - {None, plan.overflow}
    return frozenset(keys[index] for index in read if index is not None)


class Sampler(Protocol):
    """Is fed a file from its start until it knows the layout."""

    def feed(self, data: bytes) -> bool:
        """Whether no more of the file is needed.

        Raises:
            FileRefusedError: the file cannot be read in this format.
        """
        ...

    def layout(self) -> Layout:
        """The layout; called once, after ``feed`` has answered true or the file has ended.

        It depends on the file's bytes alone, never on the pieces in which they came.

        Raises:
            FileRefusedError: the file cannot be read in this format.
        """
        ...


class Reader(Protocol):
    """Turns the bytes of one file into batches; not to be used again after an error.

    The batches depend on the file's bytes, the plan and the limits alone, never on the pieces in which
    the bytes come. Use ``collector.RowCollector`` to get that right.
    """

    def feed(self, data: bytes) -> Iterable[ParsedBatch]:
        """Take the file's next bytes; answer the batches that are complete.

        Raises:
            FileRefusedError: the file as a whole cannot be read.
        """
        ...

    def close(self) -> Iterable[ParsedBatch]:
        """The file ends here; answer the remaining batches, perhaps one by one as they are asked for.

        Raises:
            FileRefusedError: the file as a whole cannot be read (also while the answer is iterated).
        """
        ...


class FileFormat(Protocol):
    """One ``file_type``."""

    def sampler(self, template: Template, file: FileFacts, limits: ReaderLimits) -> Sampler:
        """Somebody who finds out the layout of a file."""
        ...

    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> Reader:
        """A reader of the file that the plan was made for."""
        ...
