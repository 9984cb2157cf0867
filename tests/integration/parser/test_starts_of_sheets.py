"""What stands above the table of a sheet: left out where the header is plain, and told."""

import pytest

from libs.contracts.errors import FileRefusedError
from tests.integration.parser.test_ends_of_sheets import PAUSE, PEOPLE, sheet
from tests.integration.parser.test_sheets_as_written import read

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("nothing_stays_behind")]


@pytest.mark.parametrize("kind", ["xlsx", "xls"])
@pytest.mark.parametrize(
    "start",
    [
        [["Report"]],
        [["Report"], PAUSE],
        [["Report"], ["printed", "today"], PAUSE, PAUSE],
        [["Person", None, "Money"]],
        [[None, None, "Money"], [2024]],
    ],
)
def test_rows_above_the_header_are_left_out(start: list[list[object]], kind: str) -> None:
    found = read(sheet([*start, *PEOPLE], kind), "id", "name", "amount")
    assert found.plan.columns == ("id", "name", "amount")
    assert found.cells() == [("1", "Anna", "1.5"), ("2", "Ek", "2"), ("3", "Bo", "3")]
    assert [note for note in found.plan.notes if note.startswith("header: ")]
    assert found.plan.skip_rows == len(start)


@pytest.mark.parametrize(
    "rows",
    [
        [["Report"], ["id", "other"], [1, 2]],
        [["Home", None, "Work"], ["id", "name", "name"], [1, "a", "b"]],
        [["Report"], ["a", "b"], [1, 2]],
    ],
    ids=["one name of three", "a name twice under groups", "none"],
)
def test_where_no_header_is_plain_the_first_row_is_the_header(rows: list[list[object]]) -> None:
    with pytest.raises(FileRefusedError, match="MISSING_COLUMNS"):
        read(sheet(rows), "id", "name", "amount")


def test_a_first_row_with_a_name_of_a_field_is_the_header() -> None:
    found = read(sheet([["id", "more"], *PEOPLE]), "id", "name", "amount")
    assert found.plan.columns == ("id", "more")
    assert found.plan.skip_rows == 0


def test_the_template_decides() -> None:
    content = sheet([["Report"], *PEOPLE])
    assert read(content, "id", skip_rows=1).rows == 3
    assert read(content, "column_1", has_header=False).rows == 5
