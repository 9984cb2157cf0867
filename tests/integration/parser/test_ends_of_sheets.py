"""What stands below the table of a sheet, and is no row of it."""

import pytest
import xlsxwriter
import xlwt

from tests.integration.parser.test_sheets_as_written import grouped, read
from tests.integration.parser.written_workbooks import written, xls

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("nothing_stays_behind")]

PEOPLE: list[list[object]] = [["id", "name", "amount"], [1, "Anna", 1.5], [2, "Ek", 2], [3, "Bo", 3]]
PAUSE: list[object] = []


def sheet(rows: list[list[object]], kind: str = "xlsx") -> bytes:
    if kind == "xlsx":
        return grouped(rows)

    def fill(book: xlwt.Workbook) -> None:
        page = book.add_sheet("People")
        for at, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                if cell is not None:
                    page.write(at, column, cell)

    return xls(fill)


@pytest.mark.parametrize("kind", ["xlsx", "xls"])
@pytest.mark.parametrize(
    "end",
    [
        [["Total", None, 6.5]],
        [["Total", "3 rows", 6.5]],
        [[None, "Summe:", 6.5]],
        [PAUSE, ["Source: ERP"]],
        [PAUSE, ["Source: ERP"], ["printed today"]],
        [PAUSE, ["(3 rows)"]],
        [["3 Zeilen"]],
    ],
)
def test_the_end_of_a_table_is_no_row(end: list[list[object]], kind: str) -> None:
    found = read(sheet([*PEOPLE, *end], kind), "id", "name", "amount")
    assert found.cells() == [("1", "Anna", "1.5"), ("2", "Ek", "2"), ("3", "Bo", "3")]
    assert sum(note.startswith("end: ") for note in found.plan.notes) == 1
    kept = read(sheet([*PEOPLE, *end], kind), "id", skip_footer_rows=0)
    assert kept.rows == 3 + sum(bool(cells) for cells in end)
    assert not any(note.startswith("end: ") for note in kept.plan.notes)


@pytest.mark.parametrize(
    "end",
    [
        [["Total", "Ltd", 7]],
        [[4, "Total", 6.5]],
        [["4"]],
        [PAUSE, ["Source:", "ERP"]],
        [PAUSE, [None, "Source: ERP"]],
    ],
)
def test_what_may_be_a_row_stays(end: list[list[object]]) -> None:
    assert read(sheet([*PEOPLE, *end]), "id").rows == 4


def test_what_is_hidden_is_no_blank_line() -> None:
    def fill(book: xlsxwriter.Workbook) -> None:
        page = book.add_worksheet()
        for at, cells in enumerate([*PEOPLE, [4, "Al", 1], ["5"]]):
            page.write_row(at, 0, cells)
        page.set_row(4, None, None, {"hidden": True})

    data = written(fill)
    assert [cells[0] for cells in read(data, "id", hidden_rows="skip").cells()] == ["1", "2", "3", "5"]
    assert [cells[0] for cells in read(data, "id").cells()] == ["1", "2", "3", "4", "5"]


def test_totals_between_the_rows_are_told() -> None:
    found = read(sheet([*PEOPLE, ["Subtotal", None, 6.5], [4, "Al", 1], ["Total", None, 7.5]]), "id")
    assert [cells[0] for cells in found.cells()] == ["1", "2", "3", "Subtotal", "4", "Total"]
    assert "2 rows that look like totals ('Subtotal', 'Total') are read like all others" in found.plan.notes


@pytest.mark.parametrize("dropped", [0, 1, 2, 3, 9])
def test_the_template_says_how_many_rows_the_end_has(dropped: int) -> None:
    found = read(sheet([*PEOPLE, ["Total", None, 6.5]]), "id", skip_footer_rows=dropped)
    assert [cells[0] for cells in found.cells()] == ["1", "2", "3", "Total"][: max(0, 4 - dropped)]


def test_the_end_of_a_large_sheet_is_what_the_template_says() -> None:
    many: list[list[object]] = [["id", "name"], *([number, "x"] for number in range(12_000)), ["Total", None]]
    assert read(sheet(many), "id").rows == 12_001
    found = read(sheet(many), "id", skip_footer_rows=5)
    assert found.cells()[-1][0] == "11995"
