"""Workbooks as libraries write them."""

import io
from collections.abc import Callable

import xlsxwriter
import xlwt
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P


def written(fill: Callable[[xlsxwriter.Workbook], None], **options: bool) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, options) as book:
        fill(book)
    return out.getvalue()


def simple(book: xlsxwriter.Workbook) -> None:
    sheet = book.add_worksheet("People")
    sheet.write_row(0, 0, ["id", "name"])
    sheet.write_row(1, 0, ["007", "Bond"])
    sheet.write_row(2, 0, [8, "Eight"])


def xls(fill: Callable[[xlwt.Workbook], None]) -> bytes:
    out = io.BytesIO()
    book = xlwt.Workbook()
    fill(book)
    book.save(out)
    return out.getvalue()


def ods(*rows: list[TableCell], hidden: bool = False) -> bytes:
    document = OpenDocumentSpreadsheet()
    for name in ["Hidden", "Data"] if hidden else ["Data"]:
        table = Table(name=name)
        for cells in rows:
            row = TableRow()
            for cell in cells:
                row.addElement(cell)
            table.addElement(row)
        document.spreadsheet.addElement(table)
    out = io.BytesIO()
    document.write(out)
    return out.getvalue()


def ods_cell(text: str = "", **attributes: str) -> TableCell:
    cell = TableCell(**attributes)
    if text:
        cell.addElement(P(text=text))
    return cell


def ods_text(text: str) -> TableCell:
    return ods_cell(text, valuetype="string")


def old_people(book: xlwt.Workbook) -> None:
    sheet = book.add_sheet("People")
    for row, cells in enumerate([("id", "name"), ("007", "Bond"), (8, "Eight")]):
        for column, cell in enumerate(cells):
            sheet.write(row, column, cell)


DATES = {"a": "yyyy-mm-dd", "b": "yyyy-mm-dd hh:mm:ss", "c": "hh:mm:ss", "d": "[hh]:mm:ss"}


def errors(book: xlsxwriter.Workbook) -> None:
    sheet = book.add_worksheet()
    sheet.write_row(0, 2, ["a", "b"])
    sheet.write_row(1, 2, ["fine", 1])
    sheet.write_formula(2, 2, "=NA()", None, "#N/A")
    sheet.write_formula(3, 3, "=1/0", None, "#DIV/0!")
    sheet.write_row(3, 2, ["unread"])
    sheet.write_formula(4, 2, "=1+1", None, "")
    sheet.write_row(5, 2, ["last", 2])
    sheet.write(5, 5, "note")


def many_rows(count: int) -> bytes:
    def fill(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["n", "text"])
        for row in range(1, count + 1):
            sheet.write_number(row, 0, row)
            sheet.write_string(row, 1, "text of some length")

    return written(fill, constant_memory=True)
