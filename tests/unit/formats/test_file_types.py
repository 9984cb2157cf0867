"""Which formats there are, and what an installed package can say about one of its own."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from libs.contracts.templates import SourceFormat
from libs.formats.content import Content, file_type_of, recognise, refusal
from libs.formats.file_types import BUILT_IN, FileType, Kind, chosen_for, file_types, option_findings
from services.parser.formats import registry

Install = Callable[[str], None]
MODULE = """
from libs.formats.file_types import FileType

PARQUET = FileType("parquet", "a Parquet file", starts_with=(b"PAR1",), options=frozenset({"sheet"}))
PUNCHED = FileType("punched", "punched cards", reads=frozenset({"text"}), options=frozenset({"column_widths"}))
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Lets a distribution on the path have such entry points."""

    def installing(entry_points: str) -> None:
        metadata = tmp_path / "a_package-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: a-package\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(entry_points)
        (tmp_path / "a_package.py").write_text(MODULE)
        file_types.cache_clear()

    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield installing
    sys.modules.pop("a_package", None)
    file_types.cache_clear()


def test_a_package_may_register_a_format_and_say_nothing_about_it(install: Install) -> None:
    install("[rowdock.formats]\nswift_mt940 = not_installed:reader\ncsv = x:y\n")
    assert list(file_types()) == [*BUILT_IN, "swift_mt940"]
    assert file_types()["csv"] is BUILT_IN["csv"]
    kinds: tuple[Kind, ...] = get_args(Kind)
    assert [kind for kind in kinds if refusal("swift_mt940", Content(kind, "something"))] == []


def test_a_package_may_say_how_its_files_begin(install: Install) -> None:
    install("[rowdock.formats]\nparquet = x:y\n[rowdock.file_types]\nparquet = a_package:PARQUET\n")
    parquet, page = recognise(b"PAR1\x15\x04"), recognise(b"<html>")
    assert (file_type_of(parquet), refusal(None, parquet), refusal("parquet", parquet)) == ("parquet", None, None)
    assert refusal("parquet", recognise(b"")) is None
    assert refusal("parquet", recognise(b"a,b\n")) == (
        "the file is a text file, but the template reads a Parquet file; save it as a Parquet file, or set the "
        "template's file_type to 'csv'"
    )
    assert "the template reads CSV text; save it as CSV text, or set the template's file_type to 'parquet'" in str(
        refusal("csv", parquet)
    )
    assert ".xls or .ods) or a Parquet file; a login or error page" in str(refusal(None, page))


def test_a_package_may_say_what_its_files_may_be(install: Install) -> None:
    install("[rowdock.formats]\npunched = x:y\n[rowdock.file_types]\npunched = a_package:PUNCHED\n")
    assert refusal("punched", recognise(b"abc")) is None
    assert "reads punched cards; unpack it" in str(refusal("punched", recognise(b"\x1f\x8b\x08")))
    assert file_type_of(recognise(b"abc")) == "csv"


def test_options_of_a_registered_format(install: Install) -> None:
    install("[rowdock.formats]\nparquet = x:y\n[rowdock.file_types]\nparquet = a_package:PARQUET\n")
    assert list(option_findings(SourceFormat(file_type="parquet", sheet=1))) == []
    assert list(option_findings(SourceFormat(sheet=1))) == []
    (finding,) = option_findings(SourceFormat(file_type="csv", sheet=1))
    assert finding.message == "sheet means something only with file_type 'excel', 'parquet'; leave it out"


@pytest.mark.parametrize("value", ["a_package:MODULE", "a_package:PUNCHED"])
def test_what_is_no_declaration_of_that_format_is_said_at_once(install: Install, value: str) -> None:
    install(f"[rowdock.formats]\nparquet = x:y\n[rowdock.file_types]\nparquet = {value}\n")
    (Path(sys.path[-1]) / "a_package.py").write_text(MODULE + "MODULE = 7\n")
    with pytest.raises(TypeError, match=r"'parquet' of rowdock\.file_types is no FileType of that name"):
        file_types()


@pytest.mark.parametrize(
    ("source", "code", "member"),
    [
        ({"file_type": "fixed_width"}, "MISSING", "column_widths"),
        ({"file_type": "csv", "column_widths": [{"width": 3}]}, "CONFLICT", "column_widths"),
        ({"column_widths": [{"width": 3}]}, "CONFLICT", "column_widths"),
        ({"file_type": "json", "sheet": 0}, "CONFLICT", "sheet"),
    ],
)
def test_options_of_another_format_are_found(source: dict[str, Any], code: str, member: str) -> None:
    (finding,) = option_findings(SourceFormat.model_validate(source))
    assert (finding.code, finding.location) == (code, f"source.{member}")


@pytest.mark.parametrize(
    "source",
    [
        {"file_type": "fixed_width", "column_widths": [{"width": 3}]},
        {"file_type": "excel", "sheet": 0},
        {"sheet": "A"},
        {"file_type": "excel"},
        {},
    ],
)
def test_options_of_the_own_format_are_fine(source: dict[str, Any]) -> None:
    assert list(option_findings(SourceFormat.model_validate(source))) == []


def test_every_kind_has_one_built_in_format() -> None:
    for kind in get_args(Kind):
        assert [each for each in BUILT_IN.values() if kind in each.chosen_for] == [chosen_for(kind)]


def test_the_parser_reads_what_is_built_in() -> None:
    assert [type(registry.file_format(name)).__module__ for name in BUILT_IN] == [
        f"services.parser.formats.{name}.format" for name in BUILT_IN
    ]
    assert FileType("any", "anything").reads == frozenset(get_args(Kind))
