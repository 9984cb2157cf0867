"""The formats there are: what gateway and parser know of each without loading it.

The built-in ones stand here. An installed package that registers a format (entry points ``rowdock.formats``) can
also say what its files are: by a ``FileType`` under the same name among the entry points ``rowdock.file_types``. Put
that into a module which imports nothing else of Rowdock, because the gateway loads it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Literal, get_args

from libs.contracts.templates import Finding, SourceFormat

ENTRY_POINTS = "rowdock.formats"
"""Entry point group of formats: names to objects that read files, which the parser loads."""
FILE_TYPE_ENTRY_POINTS = "rowdock.file_types"
"""Entry point group of what is told of them: the same names to ``FileType`` objects."""

Kind = Literal["empty", "text", "json", "xml", "html", "zip", "ole", "binary"]
"""What a file is by its first bytes; ``binary`` is what no built-in format reads."""
Option = Literal[
    "column_widths", "sheet", "record_path", "hidden_rows", "hidden_columns", "quote_char", "escape_char",
    "comment_prefix", "skip_footer_rows",
]  # fmt: skip
"""A member of ``SourceFormat`` that means something to some formats only."""


@dataclass(frozen=True, slots=True)
class FileType:
    """What is told of a format.

    Attributes:
        name: the ``file_type`` of templates.
        expected: what its files are, in words, to follow "the template reads": ``CSV text``.
        reads: what its files may be; anything else is refused, except an empty file, whose run says what is wrong.
        starts_with: beginnings one of which every file has; such a file is refused or taken by that alone, also where
            the template leaves the format open. Without any, the kind decides.
        chosen_for: kinds of which it reads the files whose template leaves the format open.
        options: members of ``SourceFormat`` that mean something to it.
        needs: those of them that its templates must have.
    """

    name: str
    expected: str
    reads: frozenset[Kind] = frozenset(get_args(Kind))
    starts_with: tuple[bytes, ...] = ()
    chosen_for: frozenset[Kind] = frozenset()
    options: frozenset[Option] = frozenset()
    needs: frozenset[Option] = frozenset()


CSV = FileType(
    "csv",
    "CSV text",
    reads=frozenset({"text", "json", "xml"}),  # a first line may look like anything
    chosen_for=frozenset({"text", "empty", "html", "binary"}),
    options=frozenset({"quote_char", "escape_char", "comment_prefix", "skip_footer_rows"}),
)
JSON = FileType(
    "json",
    "JSON",
    reads=frozenset({"text", "json"}),
    chosen_for=frozenset({"json"}),
    options=frozenset({"record_path"}),
)
XML = FileType(
    "xml",
    "XML",
    reads=frozenset({"text", "xml"}),
    chosen_for=frozenset({"xml"}),
    options=frozenset({"record_path"}),
)
FIXED_WIDTH = FileType(
    "fixed_width",
    "fixed-width text",
    reads=frozenset({"text", "json", "xml"}),
    options=frozenset({"column_widths"}),
    needs=frozenset({"column_widths"}),
)
EXCEL = FileType(
    "excel",
    "an Excel workbook (.xlsx, .xlsm, .xls or .ods)",
    reads=frozenset({"zip", "ole"}),
    chosen_for=frozenset({"zip", "ole"}),
    options=frozenset({"sheet", "hidden_rows", "hidden_columns", "skip_footer_rows"}),
)
BUILT_IN: Mapping[str, FileType] = MappingProxyType({each.name: each for each in (CSV, JSON, XML, FIXED_WIDTH, EXCEL)})


@cache
def file_types() -> Mapping[str, FileType]:
    """Every format by its name: the built-in ones, which cannot be replaced, then those of installed packages.

    Raises:
        TypeError: a package registers something else than a ``FileType`` of the entry point's name.
    """
    names = {point.name for point in entry_points(group=ENTRY_POINTS)} - BUILT_IN.keys()
    told = {point.name: point for point in entry_points(group=FILE_TYPE_ENTRY_POINTS) if point.name in names}
    registered: dict[str, FileType] = {}
    for name in sorted(names):
        file_type: object = told[name].load() if name in told else FileType(name, f"files of the format {name!r}")
        if not isinstance(file_type, FileType) or file_type.name != name:
            raise TypeError(f"the entry point {name!r} of {FILE_TYPE_ENTRY_POINTS} is no FileType of that name")
        registered[name] = file_type
    return MappingProxyType({**BUILT_IN, **registered})


def chosen_for(kind: Kind) -> FileType:
    """The built-in format of a file whose template leaves it open."""
    return next(each for each in BUILT_IN.values() if kind in each.chosen_for)


def option_findings(source: SourceFormat) -> Iterator[Finding]:
    """What a template says about reading its files that its format does not know, or lacks."""
    if source.file_type is None:
        possible = [each for each in file_types().values() if each.chosen_for or each.starts_with]
    else:
        possible = [each for name, each in file_types().items() if name == source.file_type]
    for option in get_args(Option):
        given, place = getattr(source, option) != SourceFormat.model_fields[option].default, f"source.{option}"
        if not given and any(option in each.needs for each in possible):
            yield Finding("MISSING", f"file_type {source.file_type!r} needs {option}", place)
        if given and not any(option in each.options for each in possible):
            takers = ", ".join(repr(name) for name, each in file_types().items() if option in each.options)
            yield Finding("CONFLICT", f"{option} means something only with file_type {takers}; leave it out", place)
