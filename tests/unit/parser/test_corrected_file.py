"""Files of corrections as the parser finds them: where their columns are, and what is wrong with their rows."""

import pytest

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from services.parser.corrected_file import CorrectedRows, corrected_columns, template_of_corrections
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.registry import file_format

PLAN = ParsePlan(columns=("Sku", "Price", "=Total", "_row"))


def read(text: str, plan: ParsePlan = PLAN) -> tuple[list[int], dict[int, list[str | None]], list[str]]:
    """Numbers and cells of a CSV file, and what is noted about its columns."""
    content, limits, csv = text.encode(), ReaderLimits(), file_format("csv")
    sampler = csv.sampler(template_of_corrections("csv", plan.columns), FileFacts(len(content)), limits)
    sampler.feed(content)
    columns = corrected_columns(sampler.layout(), "csv", plan)
    reader = csv.reader(columns.plan, limits)
    with CorrectedRows(columns, "run") as rows:
        for batch in (*reader.feed(content), *reader.close()):
            rows.add(batch)
        numbers = rows.judged()
        found: dict[int, list[str | None]] = {}
        in_order: list[int] = []
        for some in rows.portions(2):
            in_order += some.rows
            for at, texts in some.columns.items():
                found.setdefault(at, []).extend(texts)
    assert numbers.tolist() == in_order
    return in_order, found, columns.notes


def test_columns_are_found_wherever_they_were_moved() -> None:
    text = "Mine,'=Total,__row,_row,Sku,_run\nx,1,7,a,A,run\ny,2,5,b,B,run\nz,3,6,c,C,\n"
    numbers, cells, notes = read(text)
    assert numbers == [7, 5, 6]
    assert cells == {0: ["A", "B", "C"], 2: ["1", "2", "3"], 3: ["a", "b", "c"]}
    assert [note.split(": ")[1] for note in notes] == ["'Mine'", "'Price'"]


FOUR = "__row,Sku,Price,=Total\n1,A,1,1\n2,B,2,2\n3,C,3,3\n4,D,4,4\n"


@pytest.mark.parametrize(("last", "more"), [("7,total,,\n", [7]), ("\n7,,,\n\n\n8,x,y,z\n", [7, 8])])
def test_no_row_is_taken_for_the_end_of_a_table(last: str, more: list[int]) -> None:
    assert read(FOUR + last)[0] == [1, 2, 3, 4, *more]


@pytest.mark.parametrize("last", ["\n(7 rows),,,\n", "# 7,,,\n", "total,,,10\n"])
def test_what_is_no_row_is_told_instead_of_left_out(last: str) -> None:
    with pytest.raises(FileRefusedError, match="data row 5") as refused:
        read(FOUR + last)
    assert refused.value.code == "BAD_ROW_NUMBERS"


@pytest.mark.parametrize("number", ["", " ", "0", "-1", "1.5", "4294967296", "12345678901", "one", "१"])
def test_what_is_no_number_of_a_row(number: str) -> None:
    with pytest.raises(FileRefusedError, match="data row 2") as refused:
        read(f"__row,Sku\n 3 ,A\n{number},B\n")
    assert refused.value.code == "BAD_ROW_NUMBERS"


def test_many_problems_are_counted_and_the_first_told() -> None:
    text = "__row,Sku\n" + "".join(f"{number % 50 + 1},A\n" for number in range(200))
    with pytest.raises(FileRefusedError) as refused:
        read(text)
    assert refused.value.code == "REPEATED_ROW_NUMBERS"
    assert "50 numbers" in refused.value.detail
    assert "1 in the data rows 1, 51, 101, 151" in refused.value.detail
    assert "and 42 more" in refused.value.detail
    assert len(refused.value.detail) < 1_500


def test_a_file_of_very_many_columns_is_refused() -> None:
    layout = Layout(tuple(f"c{number}" for number in range(2_000)))
    with pytest.raises(FileRefusedError, match="2,000 columns") as refused:
        corrected_columns(layout, "csv", PLAN)
    assert refused.value.code == "TOO_MANY_COLUMNS"


def test_batches_of_wide_files_have_few_rows() -> None:
    wide = ParsePlan(columns=tuple(f"c{number}" for number in range(10_000)))
    plan = corrected_columns(Layout(("_row", *wide.columns)), "csv", wide).plan
    assert plan.batch_rows < 100
