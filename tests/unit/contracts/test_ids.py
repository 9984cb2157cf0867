"""Ids: the same cause, the same id; ordered where a range relies on it."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.ids import (
    MAX_ROWS_PER_RUN,
    RECORD_ROW_BYTES,
    as_uuid,
    batch_id,
    event_id,
    of_uuid,
    record_id,
    record_prefix,
    rejected_id,
)

RUN, OTHER_RUN = "66f0a1b2c3d4e5f601020304", "66f0a1b2c3d4e5f601020305"
ROWS = st.integers(1, MAX_ROWS_PER_RUN)


def test_ids_are_pinned() -> None:
    """What is stored already must be found again by a later version."""
    assert batch_id(RUN, 0, 12) == f"{RUN}:0:00000012"
    assert rejected_id(RUN, 7) == f"{RUN}:0000000007"
    assert record_id(RUN, 258).hex() == record_prefix(RUN).hex() + "00000102"
    assert event_id("run", RUN, 3) == "d708cb316c2a7819e030cbcea514e272"


@given(ROWS, ROWS)
def test_the_records_of_a_run_are_ordered_by_row(one: int, other: int) -> None:
    assert (record_id(RUN, one) < record_id(RUN, other)) == (one < other)
    assert (rejected_id(RUN, one) < rejected_id(RUN, other)) == (one < other)
    assert len(record_id(RUN, one)) == len(record_prefix(RUN)) + RECORD_ROW_BYTES == 12


@given(st.integers(0, 10**8 - 1), st.integers(0, 10**8 - 1))
def test_batches_are_ordered_within_an_epoch(one: int, other: int) -> None:
    assert (batch_id(RUN, 1, one) < batch_id(RUN, 1, other)) == (one < other)


def test_runs_and_epochs_do_not_share_ids() -> None:
    assert record_prefix(RUN) != record_prefix(OTHER_RUN)
    assert len({batch_id(RUN, 0, 1), batch_id(RUN, 1, 1), batch_id(OTHER_RUN, 0, 1)}) == 3


@given(st.lists(st.text(alphabet="abc0123", min_size=1), min_size=1, max_size=4))
def test_an_event_id_is_derived_from_its_cause(cause: list[str]) -> None:
    assert event_id(*cause) == event_id(*cause)
    assert re.fullmatch("[0-9a-f]{32}", event_id(*cause))
    assert event_id(*cause) != event_id(*cause, "again")


@given(st.from_regex("[0-9a-f]{24}", fullmatch=True), st.from_regex("[0-9a-f]{24}", fullmatch=True))
def test_ids_as_uuids(one: str, other: str) -> None:
    text = as_uuid(one)
    assert (str(UUID(text)), UUID(text).version, UUID(text).variant) == (text, 8, "specified in RFC 4122")
    assert of_uuid(text) == of_uuid(text.upper()) == one
    assert (as_uuid(one) < as_uuid(other)) == (one < other)


@pytest.mark.parametrize(
    "text", ["", RUN, "0b0f4c0e-3a55-4e0f-9a57-0f1f6a8f2c11", as_uuid(RUN) + "\n", as_uuid(RUN).replace("-", "")]
)
def test_what_is_no_uuid_of_an_id(text: str) -> None:
    assert of_uuid(text) is None


def test_what_is_no_id_is_no_uuid() -> None:
    with pytest.raises(ValueError, match="is no id"):
        as_uuid("rejected:1")
