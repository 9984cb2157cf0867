"""Identifiers. Whatever a replay may produce again has an id derived from its cause.

Runs, templates, organizations and keys are 24 hexadecimal digits (an ObjectId as text).
"""

import hashlib
import re
import struct
from typing import NewType

BatchId = NewType("BatchId", str)

ID_PATTERN = "^[0-9a-f]{24}$"
"""Ids of runs, templates, organizations and keys."""
_ID = re.compile(r"[0-9a-f]{24}")
_UUID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-8([0-9a-f]{3})-8000-000([0-9a-f]{9})", re.IGNORECASE)
RECORD_ROW_BYTES = 4
MAX_ROWS_PER_RUN = 2**32 - 1


def batch_id(run_id: str, epoch: int, seq: int) -> BatchId:
    """Ledger id of the ``seq``-th batch (0-based) that a run's parse cut in ``epoch``."""
    return BatchId(f"{run_id}:{epoch}:{seq:08d}")


def as_uuid(identifier: str) -> str:
    """An id as a UUID of version 8 (RFC 9562, section 5.8), for interfaces whose ids are UUIDs; the order stays.

    Raises:
        ValueError: it is none of ``ID_PATTERN``.
    """
    if not _ID.fullmatch(identifier):
        raise ValueError(f"{identifier!r} is no id")
    return f"{identifier[:8]}-{identifier[8:12]}-8{identifier[12:15]}-8000-000{identifier[15:]}"


def of_uuid(text: str) -> str | None:
    """The id of which ``as_uuid`` made this UUID, in small or capital letters; ``None`` where it is of another kind."""
    found = _UUID.fullmatch(text)
    return None if found is None else "".join(found.groups()).lower()


def record_prefix(run_id: str) -> bytes:
    """The eight bytes that the ``_id`` of every record created by a run starts with."""
    return hashlib.sha256(run_id.encode()).digest()[:8]


def record_id(run_id: str, row: int) -> bytes:
    """Twelve bytes of the target record's ObjectId: run prefix, then the row, big-endian.

    Deterministic, so that a replay cannot create a second record, and ordered by row, so
    that the records of a run are one range of the ``_id`` index.
    """
    return record_prefix(run_id) + struct.pack(">I", row)


def rejected_id(run_id: str, row: int) -> str:
    """Id of the rejected record of one row (1-based) of a run."""
    return f"{run_id}:{row:010d}"


PREFIXES = ("tpl_", "imp_")
"""What ids of templates and of runs begin with in interfaces that tell them apart."""


def of_prefixed(text: str) -> str | None:
    """The id behind one of ``PREFIXES``; ``None`` where there is none."""
    for prefix in PREFIXES:
        if text.startswith(prefix) and _ID.fullmatch(identifier := text.removeprefix(prefix)):
            return identifier
    return None


def run_event_id(run_id: str, version: int) -> str:
    """Id of the event that tells that a run came to that version."""
    return event_id("run", run_id, version)


def delivery_id(event: str, endpoint_id: str) -> str:
    """Id of the delivery of an event to a receiver, so that a replayed event makes no second one."""
    return event_id("delivery", event, endpoint_id)


def event_id(*cause: object) -> str:
    """Deterministic id of an event: the same cause always gives the same 32 hex digits."""
    return hashlib.sha256(":".join(map(str, cause)).encode()).hexdigest()[:32]
