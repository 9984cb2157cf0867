"""From a message's body to its event, or to an error that says why not."""

import pytest

from libs.contracts.errors import UndecodableMessageError
from libs.contracts.events import BatchParsed
from libs.messaging.receiving import decode

WHOLE = b'{"event_id": "e", "occurred_at": "2026-03-02T09:30:00Z", "run_id": "r", "epoch": 0, "seq": 3}'


def test_an_event_is_read() -> None:
    assert decode(BatchParsed, WHOLE).seq == 3


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"{}",
        WHOLE.replace(b"3}", b'"three"}'),
        WHOLE[:-1] + b', "schema_version": "two"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_event_is_told(body: bytes) -> None:
    with pytest.raises(UndecodableMessageError, match="not a BatchParsed") as refused:
        decode(BatchParsed, body)
    assert refused.value.code == "UNDECODABLE_MESSAGE"
    assert len(refused.value.detail) < 600


def test_the_reason_does_not_repeat_the_message() -> None:
    with pytest.raises(UndecodableMessageError) as refused:
        decode(BatchParsed, b'{"run_id": 5, "event_id": "s3cret"}')
    assert "s3cret" not in refused.value.detail
