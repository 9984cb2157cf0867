"""What a file format has to offer: find out what the columns are, then read the rows.

A format that Rowdock does not know can be added without touching it: a package offers an object of
this shape under the entry point group ``rowdock.formats``; its name is the ``file_type`` of templates.
See docs/formats.md for an example.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.limits import ReaderLimits

OVERFLOW = "(other)"
"""Name of the column for what no other column can take, see ``ParsePlan.overflow``; ``headers.column_names`` makes
it unique."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a file before it is read.

    Attributes:
        size: in bytes.
        ascii_only: no byte is above 127.
    """

    size: int
    ascii_only: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """What a format found out about a file from its start.

    Attributes:
        columns: names in file order, unique and clean (see ``headers.column_names``).
        named: the names stand in the file; otherwise fields may also be mapped by position.
        complete: no other column can come further on, so that a column that is missing here is missing.
        overflow: index of the column for what no other column can take, see ``ParsePlan.overflow``.
        notes: what was found out rather than told, for the owner of the run.
        settings: fields of ``ParsePlan`` that the format decides (``encoding``, ``options``, …).
        first_rows: the first rows as a table of text columns ``c0``, ``c1``, …, where the format has them
            anyway; it saves reading the file once more to find out how its dates and numbers are written.
    """

    columns: tuple[str, ...]
    named: bool = True
    complete: bool = True
    overflow: int | None = None
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    first_rows: pa.Table | None = None


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
