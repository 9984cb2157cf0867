"""Numbers that a spreadsheet has shortened, in columns of texts."""

import pytest

from libs.contracts.templates import Template
from tests.reading import plan_file

TEMPLATE = Template.model_validate({"name": "t", "target_resource": "t", "fields": [{"name": "ean"}, {"name": "name"}]})


def told(content: str, template: Template = TEMPLATE) -> list[str]:
    return [note for note in plan_file(content.encode(), template).notes if "shortened" in note]


@pytest.mark.parametrize("cell", ["4.00638E+12", "4,00638E+12", "1.5E+11", " 9.99999E+25 "])
def test_shortened_numbers_are_told(cell: str) -> None:
    [note] = told(f'ean,name\n4006381333931,a\n"{cell}",b\n1.5E+11,c\n')
    assert note.startswith(f"field 'ean': texts such as {cell.strip()} are numbers")


@pytest.mark.parametrize("cell", ["1E+12", "2.5E+05", "4.00638E12", "4.00638e+12", "4.006381E+12", "X 4.00638E+12", ""])
def test_other_texts_are_not(cell: str) -> None:
    assert told(f'ean,name\n"{cell}",b\n') == []


def test_in_files_whose_numbers_are_numbers_they_are_exact() -> None:
    assert told('[{"ean": 4.00638E+12, "name": "4.00638E+12"}]') == []


def test_other_types_say_so_themselves() -> None:
    fields = [{"name": "ean", "type": "number"}, {"name": "name"}]
    assert told("ean,name\n4.00638E+12,a\n", TEMPLATE.model_validate({**TEMPLATE.model_dump(), "fields": fields})) == []
