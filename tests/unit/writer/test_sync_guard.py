"""When a sync asks before it deletes."""

from dataclasses import replace

import pytest

from libs.contracts.reasons import SyncReason
from services.writer.domain.sync_guard import Going, question, reasons_to_ask
from services.writer.sync_planning import ends_with_line_break

USUAL = Going(live=1_000, going=200, rows=900, held=900, unclear=0, ended=True)


@pytest.mark.parametrize(
    ("changes", "confirmed", "confirmed_all", "reasons"),
    [
        ({}, None, False, []),
        ({"going": 201}, None, False, [SyncReason.LARGE_SHARE]),
        ({"going": 201}, 200, False, [SyncReason.MORE_THAN_CONFIRMED]),
        ({"going": 201}, 201, False, []),
        ({"going": 1_000}, None, True, []),
        ({"going": 5}, 4, False, [SyncReason.MORE_THAN_CONFIRMED]),
        ({"going": 1, "ended": False, "unclear": 3}, None, False, [
            SyncReason.UNFINISHED_FILE, SyncReason.UNCLEAR_KEYS]),
        ({"going": 1, "ended": False, "unclear": 3}, 1, False, []),
        ({"going": 0, "ended": False, "unclear": 3, "held": 0}, None, False, []),
        ({"going": 0, "unclear": 3}, 0, False, []),
        ({"going": 1, "rows": 0, "held": 0}, None, False, [SyncReason.EMPTY_FILE]),
        ({"going": 1, "rows": 5, "held": 0, "unclear": 5}, None, False, [
            SyncReason.EMPTY_FILE, SyncReason.UNCLEAR_KEYS]),
        ({"live": 1, "going": 1}, None, False, [SyncReason.LARGE_SHARE]),
    ],
)  # fmt: skip
def test_reasons(
    changes: dict[str, int], confirmed: int | None, confirmed_all: bool, reasons: list[SyncReason]
) -> None:
    assert reasons_to_ask(replace(USUAL, **changes), 0.2, confirmed, confirmed_all=confirmed_all) == reasons


def test_the_question_says_the_number_and_how_to_answer() -> None:
    asked = question(replace(USUAL, going=321), 0.2, [SyncReason.LARGE_SHARE, SyncReason.UNFINISHED_FILE], None)
    assert "321 of the 1,000 records within the scope would be deleted (32.1%)" in asked
    assert "more than 20%" in asked
    assert "confirm_deletes=321" in asked
    assert all(question(USUAL, 0.2, [reason], 7) for reason in SyncReason)


@pytest.mark.parametrize(
    ("end", "ended"),
    [
        (b"a\nb\n", True),
        (b"a\r\nb\r\n", True),
        (b"a\rb\r", True),
        ("a\nb\n".encode("utf-16-le"), True),
        ("a\nb\n".encode("utf-32-be"), True),
        (b"a\r\nb\r", False),
        (b"a\nb", False),
        (b"", False),
    ],
)
def test_the_end_of_a_file_of_lines(end: bytes, ended: bool) -> None:
    assert ends_with_line_break(end) is ended
