"""Identifiers. Whatever a replay may produce again has an id derived from its cause.

Runs, templates, organizations and keys are 24 hexadecimal digits (an ObjectId as text).
"""

import hashlib
import struct
from typing import NewType

BatchId = NewType("BatchId", str)

ID_PATTERN = "^[0-9a-f]{24}$"
"""Ids of runs, templates, organizations and keys."""
RECORD_ROW_BYTES = 4
MAX_ROWS_PER_RUN = 2**32 - 1


def batch_id(run_id: str, epoch: int, seq: int) -> BatchId:
    """Ledger id of the ``seq``-th batch (0-based) that a run's parse cut in ``epoch``."""
    return BatchId(f"{run_id}:{epoch}:{seq:08d}")


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


def event_id(*cause: object) -> str:
    """Deterministic id of an event: the same cause always gives the same 32 hex digits."""
    return hashlib.sha256(":".join(map(str, cause)).encode()).hexdigest()[:32]
