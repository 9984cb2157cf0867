"""The child process that reads a workbook: repeated, closed early, killed, out of its limits."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from libs.contracts.errors import TransientError
from services.parser.formats.api.batches import ParsedBatch, digest
from services.parser.formats.api.limits import MIB
from services.parser.formats.excel.settings import ExcelSettings
from tests.integration.parser import workbooks
from tests.integration.parser.excel_reading import layout_of, reader_of, refusal
from tests.integration.parser.written_workbooks import many_rows

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("nothing_stays_behind")]


def test_a_repeated_reading_cuts_the_same_batches_whatever_pieces_come() -> None:
    data = many_rows(5_500)
    layout = layout_of(data)
    once = list(reader_of(data, layout).close())
    again = reader_of(b"", layout)
    for start in range(0, len(data), 7_919):
        list(again.feed(data[start : start + 7_919]))
    assert [digest(batch) for batch in once] == [digest(batch) for batch in again.close()]
    assert [batch.rows for batch in once] == [1_000] * 5 + [500]
    assert layout.first_rows is not None
    assert layout.first_rows.num_rows >= 5_000


def test_closing_the_rows_early_ends_the_child() -> None:
    data = many_rows(60_000)
    before = set(psutil.Process().children())
    rows = reader_of(data, layout_of(data)).close()
    next(rows)
    assert len(set(psutil.Process().children()) - before) == 1
    rows.close()
    assert set(psutil.Process().children()) == before


def test_rows_may_be_taken_by_different_threads() -> None:
    data = many_rows(12_000)
    rows = reader_of(data, layout_of(data)).close()
    seen: list[ParsedBatch] = []
    for _ in range(13):
        thread = threading.Thread(target=lambda: seen.extend(batch for batch in [next(rows, None)] if batch))
        thread.start()
        thread.join()
    assert [batch.row_to for batch in seen] == list(range(1_000, 12_001, 1_000))


def test_the_child_does_not_outlive_its_parent(tmp_path: Path) -> None:
    script = """
import sys, time
from tests.integration.parser.excel_reading import layout_of, reader_of
from tests.integration.parser.written_workbooks import many_rows
data = many_rows(60_000)
rows = iter(reader_of(data, layout_of(data)).close())
next(rows)
print("reading", flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"reading\n"
        (child,) = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGKILL)
        psutil.wait_procs([child], timeout=10)
        assert not child.is_running()
    finally:
        parent.kill()
        parent.communicate()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def hangups_are_not_ignored() -> Iterator[None]:
    """What ``nohup`` has made to be ignored, children ignore as well."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups_are_not_ignored")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_child_that_is_killed_is_to_be_tried_again(number: signal.Signals) -> None:
    """A supervisor or a terminal may send the signals by which it stops a parser to the parser's children as well."""
    data = many_rows(60_000)
    before = set(psutil.Process().children())
    rows = reader_of(data, layout_of(data)).close()
    next(rows)
    (child,) = set(psutil.Process().children()) - before
    child.send_signal(number)
    with pytest.raises(TransientError, match="was killed"):
        list(rows)


def test_a_child_that_does_not_end_in_time_is_to_be_tried_again() -> None:
    with pytest.raises(TransientError, match="did not end in time"):
        layout_of(many_rows(1), ExcelSettings(wait_seconds=0.001))


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        pytest.param({"cpu_seconds": 1}, "too much computing time", id="computing time"),
        pytest.param({"memory_bytes": 256 * MIB}, "more memory than it may", id="memory"),
    ],
)
def test_limits_of_the_child(limit: dict[str, Any], words: str) -> None:
    cells = '<c r="A{row}"><v>{row}</v></c><c r="AZ{row}"><v>1</v></c>'
    heavy = workbooks.sheet("".join(f'<row r="{row}">{cells.format(row=row)}</row>' for row in range(1, 300_001)))
    if "cpu_seconds" in limit:
        heavy = workbooks.sheet(
            "".join(f"<row r='{row}'>" + "<c r='A1'><v>1</v></c>" * 12 + "</row>" for row in range(1, 300_001))
        )
    refused = refusal(workbooks.xlsx(heavy), ExcelSettings.model_validate(limit))
    assert refused.code == "FILE_TOO_COMPLEX"
    assert words in refused.detail
    assert "split the workbook" in refused.detail
