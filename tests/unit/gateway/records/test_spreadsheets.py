"""CSV files and workbooks, read again by the programs of others."""

import csv
import io
from decimal import Decimal
from zipfile import ZipFile

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.escape import unescape

from libs.contracts.corrections import MAX_WORKBOOK_CHARS, harmless
from services.gateway.records.spreadsheets import Cell, Workbook, csv_lines

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def workbook_of(*pieces: list[list[Cell]]) -> bytes:
    workbook = Workbook()
    parts = [workbook.rows(piece) for piece in pieces]
    return b"".join([*parts, workbook.end()])


def read(content: bytes) -> list[list[object]]:
    sheet = openpyxl.load_workbook(io.BytesIO(content))["rows"]
    assert all(cell.data_type in {"inlineStr", "s", "n"} for row in sheet for cell in row), "a formula"
    return [[unescape(cell) if isinstance(cell, str) else cell for cell in row] for row in sheet.values]


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-2+3", "@SUM(1+1)", "\tx", "\rx", '="01067"', "=cmd|' /C calc'!A0"])
def test_what_a_program_might_compute_is_a_text(text: str) -> None:
    assert harmless(text) == f"'{text}"
    ((cell,),) = read(workbook_of([[text]]))
    assert cell == text


@pytest.mark.parametrize("text", ["-5", "+49", "-1.234,50", "-1e5", "-3%", "a=b", "", "x@y.z"])
def test_numbers_and_plain_texts_stay(text: str) -> None:
    assert harmless(text) == text


@given(st.lists(st.lists(st.none() | st.integers(0, 2**32) | TEXTS, min_size=1, max_size=4), max_size=6))
def test_a_workbook_holds_what_was_put_into_it(rows: list[list[Cell]]) -> None:
    width = max([len(row) for row in rows], default=1)
    found = read(workbook_of(*[[row] for row in rows]))
    expected = [[*row, *[None] * (width - len(row))] for row in rows]
    # Readers may make one line break of two characters.
    assert [[each.replace("\r\n", "\n") if isinstance(each, str) else each for each in row] for row in found] == [
        [each.replace("\r\n", "\n") if isinstance(each, str) else each for each in row] for row in expected
    ]


def test_a_cell_that_is_too_long_is_cut() -> None:
    ((cell,),) = read(workbook_of([["x" * (MAX_WORKBOOK_CHARS + 1)]]))
    assert isinstance(cell, str)
    assert (len(cell), cell[-4:]) == (MAX_WORKBOOK_CHARS, "x...")


def test_a_workbook_comes_in_pieces_and_is_whole() -> None:
    workbook = Workbook()
    parts = [
        workbook.rows([[f"{row * 7919 % 10_007:x}" * 5] for row in range(first, first + 1_000)])
        for first in range(0, 20_000, 1_000)
    ]
    kept_back = workbook.end()
    assert max(map(len, [*parts[1:], kept_back])) < sum(map(len, parts)) / 3
    with ZipFile(io.BytesIO(b"".join([*parts, kept_back]))) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 5


def test_a_workbook_may_be_given_up() -> None:
    workbook = Workbook()
    workbook.rows([["x"]])
    workbook.close()


@given(st.lists(st.lists(st.none() | st.integers(0, 9) | TEXTS, min_size=1, max_size=4), max_size=5))
def test_csv_is_read_again(rows: list[list[Cell]]) -> None:
    found = list(csv.reader(io.StringIO(csv_lines(rows).decode(), newline="")))
    expected = [
        [harmless(cell) if isinstance(cell, str) else "" if cell is None else str(cell) for cell in row] for row in rows
    ]
    assert found == expected


def test_cells_of_numbers() -> None:
    """They are numbers to a program that keeps all their digits, else texts; only texts need an apostrophe."""
    numbers: list[Cell] = [Decimal("12.50"), -5, -0.5, 10**14, 10**15, Decimal("0.1234567890123456"), "-a"]
    (found,) = read(workbook_of([numbers]))
    assert found == [12.5, -5, -0.5, 10**14, "1000000000000000", "0.1234567890123456", "-a"]
    assert csv_lines([numbers]) == b"12.50,-5,-0.5,100000000000000,1000000000000000,0.1234567890123456,'-a\r\n"
