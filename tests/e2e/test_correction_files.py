"""Rejected rows that are downloaded, corrected by a spreadsheet program and sent back, through the whole stack."""

import csv
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openpyxl
import pytest

from tests.client import GatewayClient, eventually
from tests.e2e.test_imports import imported
from tests.e2e.test_retrying import by_row, corrected, ended, template
from tests.oracle import Oracle

pytestmark = pytest.mark.servers

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PRICES = ["1,50", "abc", "2,75", "dear", "x", "1.234,5", "y", "z", "3,25", "w", "v", "u"]
ROWS = "Sku;Name;Price;Colour;Note\n" + "".join(
    f"00{at};Tool {at};{price};{'red' if at % 3 else 'purple'};{note}\n"
    for at, (price, note) in enumerate(
        zip(
            PRICES,
            ['"=1+1"', "-x", "'90s", "+49 1", "@me", "", "'=2", " pad ", "a", "b", "c", '"one\ntwo"'],
            strict=True,
        ),
        1,
    )
)


def coloured(resource: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return template(
        resource,
        field_mapping=[
            {"source": "Sku", "target": "sku", "required": True, "validators": [{"type": "unique"}]},
            {"source": "Name", "target": "name", "required": True},
            {"source": "Price", "target": "price", "transform": "decimal:2"},
            {
                "source": "Colour",
                "target": "colour",
                "validators": [{"type": "enum", "values": ["red", "green, dark"]}],
            },
            {"source": "Note", "target": "note"},
        ],
        **changes,
    )


def downloaded(gateway: GatewayClient, run_id: str, **query: Any) -> bytes:  # noqa: ANN401
    answer = gateway.http.get(f"/imports/runs/{run_id}/rejected", params=query)
    assert answer.status_code == 200, answer.text
    return answer.content


def sent_back(gateway: GatewayClient, run_id: str, content: bytes, name: str = "corrected.xlsx") -> httpx.Response:
    return gateway.http.post(f"/imports/runs/{run_id}/rejected", files={"file": (name, content)})


def edited(content: bytes, edit: Callable[[Any], None]) -> bytes:
    book = openpyxl.load_workbook(io.BytesIO(content))
    edit(book["rejected rows"])
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def lines(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def as_csv(rows: list[dict[str, str]], delimiter: str = ",") -> bytes:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


def notes(oracle: Oracle, resource: str) -> dict[str, tuple[str, str | None, int]]:
    found = oracle.target[resource].find({})
    return {each["sku"]: (str(each["price"]), each.get("note"), each["_import"]["row"]) for each in found}


def sort_remove_insert_and_correct(sheet: Any) -> None:  # noqa: ANN401
    """What a person does: rows in another order, two of them gone, a column of notes, and the marked cells mended."""
    titles = [cell.value for cell in sheet[1]]
    rows = [[cell.value for cell in row] for row in sheet.iter_rows(min_row=2)]
    price, colour, sku = titles.index("Price"), titles.index("Colour"), titles.index("Sku")
    rows = [row for row in rows if row[sku] not in {"004", "0011"}]
    for row in rows:
        if row[price] in {"abc", "x", "y", "z", "u"}:
            row[price] = {"abc": "7,5", "x": 8.25, "y": "1.000,00"}.get(row[price], "9")
        if row[colour] == "purple":
            row[colour] = "green, dark"
    rows.sort(key=lambda row: row[sku], reverse=True)
    sheet.delete_rows(2, sheet.max_row)
    for at, row in enumerate(rows, 2):
        for column, value in enumerate(row, 1):
            cell = sheet.cell(at, column)
            cell.value = value
            if isinstance(value, str):
                cell.data_type = "s"
    sheet.insert_cols(4)
    sheet.cell(1, 4).value = "My notes"
    sheet.cell(2, 4).value = "please look"


def test_workbook_is_sorted_cut_corrected_and_sent_back(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    run = imported(gateway, ROWS.encode(), coloured(resource))
    assert (run["written_count"], run["rejected_count"]) == (1, 11)
    content = downloaded(gateway, run["id"])
    sheet = openpyxl.load_workbook(io.BytesIO(content))["rejected rows"]
    assert [cell.value for cell in sheet[1]] == ["_row", "_run", "_reasons", "Sku", "Name", "Price", "Colour", "Note"]
    back = edited(content, sort_remove_insert_and_correct)
    with ThreadPoolExecutor(3) as pool:  # three at once: one retries the rows, the others find it at work or done
        answers = list(pool.map(lambda _: sent_back(gateway, run["id"], back), range(3)))
    assert {answer.status_code for answer in answers} <= {200, 202, 409}
    retries = [ended(gateway, answer) for answer in answers if answer.status_code != 409]
    (retry,) = [retry for retry in retries if retry["status"] == "completed"]
    assert all(other["error"]["code"] == "NOTHING_TO_RETRY" for other in retries if other is not retry)
    oracle.settled(retry["id"])
    assert (retry["total_rows"], retry["written_count"], retry["parent_run_id"]) == (9, 8, run["id"])
    assert retry["file_name"] == "corrected.xlsx"
    found = retry["corrections"]
    assert (found["rows"], found["corrected"], found["left_out"], found["left_out_rows"]) == (9, 8, {}, [])
    assert any("'My notes'" in note for note in found["notes"])
    # Every text is what it was in the file, but for those that were corrected; a number is written as its column is.
    assert notes(oracle, resource) == {
        "001": ("1.50", "=1+1", 1),
        "002": ("7.50", "-x", 2),
        "003": ("2.75", "'90s", 3),
        "005": ("8.25", "@me", 5),
        "006": ("1234.50", None, 6),
        "007": ("1000.00", "'=2", 7),
        "008": ("9.00", " pad ", 8),
        "009": ("3.25", "a", 9),
        "0012": ("9.00", "one\ntwo", 12),
    }
    states = {row: each["state"] for row, each in by_row(gateway, run["id"]).items()}
    assert {row for row, state in states.items() if state == "open"} == {4, 10, 11}
    assert {state for row, state in states.items() if row not in {4, 10, 11}} == {"written"}
    left = lines(downloaded(gateway, run["id"], format="csv"))
    assert [each["_row"] for each in left] == ["4", "10", "11"]


def test_csv_comes_back_as_it_was(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    run = imported(gateway, ROWS.encode(), coloured(resource))
    content = downloaded(gateway, run["id"], format="csv")
    rows = lines(content)
    assert {row["_row"]: row["Note"] for row in rows} == {
        "2": "'-x", "3": "'90s", "4": "'+49 1", "5": "'@me", "6": "", "7": "''=2", "8": " pad ", "9": "a", "10": "b",
        "11": "c", "12": "one\ntwo",
    }  # fmt: skip
    # As it came, but for rows in another order: nothing is a correction, and everything is rejected again.
    same = ended(gateway, sent_back(gateway, run["id"], as_csv(rows[::-1]), "same.csv"))
    assert (same["status"], same["rejected_count"], same["corrections"]["corrected"]) == ("completed", 11, 0)
    # Corrections of one by one that the file does not mention stay; those that it takes back go.
    record_id = by_row(gateway, run["id"])[4]["id"]
    corrected(gateway, record_id, Price="4,00", Note="noted")
    for row in rows:
        row |= {"Price": "9,99", "Colour": "red"}
        del row["Note"]
    retry = ended(gateway, sent_back(gateway, run["id"], as_csv(rows, ";"), "corrected.csv"))
    assert (retry["status"], retry["written_count"]) == ("completed", 11), retry["error"]
    assert any("'Note'" in note for note in retry["corrections"]["notes"])
    found = notes(oracle, resource)
    assert {sku: note for sku, (_, note, _) in found.items()} == {
        "001": "=1+1", "002": "-x", "003": "'90s", "004": "noted", "005": "@me", "006": None, "007": "'=2",
        "008": " pad ", "009": "a", "0010": "b", "0011": "c", "0012": "one\ntwo",
    }  # fmt: skip
    assert {price for sku, (price, _, _) in found.items() if sku != "001"} == {"9.99"}


def test_what_cannot_be_sent_back_changes_nothing(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    run = imported(gateway, ROWS.encode(), coloured(resource))
    other = imported(gateway, ROWS.encode(), coloured(f"{resource}_other"))
    rows = lines(downloaded(gateway, run["id"], format="csv"))
    for row in rows:
        row |= {"Price": "1,00", "Colour": "red"}
    without = [{title: text for title, text in row.items() if title != "_row"} for row in rows]
    for code, said, content in (
        ("NO_ROW_NUMBERS", ["'_row'", "'Sku'"], as_csv(without)),
        ("OTHER_RUN", [other["id"], run["id"]], downloaded(gateway, other["id"])),
        ("REPEATED_ROW_NUMBERS", ["2 in the data rows 1, 12", "1 number"], as_csv([*rows, rows[0]])),
        ("BAD_ROW_NUMBERS", ["99", "no rejected row"], as_csv([*rows, {**rows[0], "_row": "99"}])),
        ("BAD_ROW_NUMBERS", ["1", "no rejected row"], as_csv([*rows, {**rows[0], "_row": "1"}])),  # it was written
        ("BAD_ROW_NUMBERS", ["data row 2 has 'two'", "3 rows"], as_csv([
            rows[0], *({**row, "_row": number} for row, number in zip(rows[1:], ["two", "", "0"], strict=False))
        ])),
        ("UNREADABLE_ROWS", ["line 3"], as_csv(rows[:1]) + b"3,,,,,,,,,,extra\n"),
        ("NOTHING_TO_RETRY", ["no rows"], as_csv(rows).splitlines(keepends=True)[0]),
        ("CORRUPT_FILE", ["damaged"], downloaded(gateway, run["id"])[:-100]),
        ("EMPTY_FILE", [], b""),
    ):  # fmt: skip
        refused = ended(gateway, sent_back(gateway, run["id"], content))
        assert (refused["status"], refused["error"]["code"]) == ("failed", code), refused["error"]
        assert all(word in refused["error"]["message"] for word in said), refused["error"]["message"]
        assert refused["corrections"] is None
    found = oracle.state["rejected_records"].find({"run_id": run["id"]})
    assert {(each["state"], each.get("revision", 0)) for each in found} == {("open", 0)}
    assert set(notes(oracle, resource)) == {"001"}
    pdf = sent_back(gateway, run["id"], b"%PDF-1.7 and more")
    assert (pdf.status_code, pdf.json()["code"]) == (415, "UNSUPPORTED_FILE")
    nothing = gateway.http.post(f"/imports/runs/{run['id']}/rejected", files={"other": ("a.csv", b"a")})
    assert (nothing.status_code, nothing.json()["errors"][0]["location"]) == (422, "body.other")
    assert sent_back(gateway, "0" * 24, as_csv(rows)).status_code == 404
    assert oracle.state["runs"].count_documents({"_id": run["id"], "retry_at_work": None}) == 1


def test_rows_that_are_done_are_left_out_and_told(gateway: GatewayClient, oracle: Oracle, resource: str) -> None:
    run = imported(gateway, ROWS.encode(), coloured(resource))
    content = downloaded(gateway, run["id"])
    records = by_row(gateway, run["id"])
    gateway.http.post(f"/imports/rejected/{records[4]['id']}/discard").raise_for_status()
    corrected(gateway, records[2]["id"], Price="1,00")
    assert ended(gateway, gateway.http.post(f"/imports/runs/{run['id']}/retry-all"))["written_count"] == 1

    def mend(sheet: Any) -> None:  # noqa: ANN401
        for row in sheet.iter_rows(min_row=2):
            row[5].value, row[6].value = "5,00", "red"

    retry = ended(gateway, sent_back(gateway, run["id"], edited(content, mend)))
    assert (retry["status"], retry["written_count"]) == ("completed", 9)
    found = retry["corrections"]
    assert (found["rows"], found["left_out"]) == (11, {"written": 1, "discarded": 1})
    assert found["left_out_rows"] == [{"row": 2, "state": "written"}, {"row": 4, "state": "discarded"}]
    prices = {sku: price for sku, (price, _, _) in notes(oracle, resource).items()}
    assert (prices["002"], prices["003"], "004" in prices) == ("1.00", "5.00", False)
    again = ended(gateway, sent_back(gateway, run["id"], content))
    assert (again["status"], again["error"]["code"]) == ("failed", "NOTHING_TO_RETRY")
    assert "10 written" in again["error"]["message"]
    # Taken back, its rows are corrected as they were, and can be sent once more.
    gateway.http.post(f"/imports/runs/{retry['id']}/revert").raise_for_status()
    assert gateway.wait(retry["id"], "reverted")["status"] == "reverted"

    def given_back() -> bool:
        states = {row: each["state"] for row, each in by_row(gateway, run["id"]).items()}
        return (states[2], states[3], states[4]) == ("written", "corrected", "discarded")

    eventually(given_back, "the rows of the reverted retry are corrected again")
    left = lines(downloaded(gateway, run["id"], format="csv"))
    assert ({row["Price"] for row in left}, len(left)) == ({"5,00"}, 9)


def test_more_rows_than_a_workbook_holds(gateway: GatewayClient, resource: str) -> None:
    run = imported(gateway, b"Sku,Name,Price\n" + b"A,B,cheap\n" * 10_001, template(resource))
    refused = gateway.http.get(f"/imports/runs/{run['id']}/rejected")
    assert (refused.status_code, refused.json()["code"]) == (422, "TOO_LARGE_FOR_XLSX")
    part = openpyxl.load_workbook(io.BytesIO(downloaded(gateway, run["id"], limit=2, after=9_998)))["rejected rows"]
    assert [row[0].value for row in part.iter_rows(min_row=2)] == [9_999, 10_000]
    assert len(lines(downloaded(gateway, run["id"], format="csv"))) == 10_001
    assert len(lines(downloaded(gateway, run["id"], format="csv", limit=700, after=100))) == 700
    head = gateway.http.head(f"/imports/runs/{run['id']}/rejected")
    assert (head.status_code, head.headers["content-type"]) == (200, XLSX)
