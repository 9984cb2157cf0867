"""Rows of a batch as Arrow IPC, compressed with zstd, in documents well below MongoDB's 16 MB.

A batch has up to three payloads: ``parsed`` (cells as text, with the parser's row issues),
``valid`` (typed fields) and, where the template asks questions about the whole file, ``keys``.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

import pyarrow as pa
import pyarrow.ipc as ipc

from libs.contracts.errors import PermanentError
from libs.contracts.plan import RowIssue
from libs.storage.client import Collection, Document


class PayloadKind(StrEnum):
    PARSED = "parsed"
    VALID = "valid"
    KEYS = "keys"


_OPTIONS = ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1))


def payload_id(batch_id: str, kind: PayloadKind) -> str:
    """Id of a batch's payload; deterministic, so that a replay cannot store it twice."""
    return f"{batch_id}:{kind}"


def encode_table(table: pa.Table) -> bytes:
    """``table`` as one Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema, options=_OPTIONS) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def decode_table(data: bytes) -> pa.Table:
    """The table of ``encode_table``."""
    with ipc.open_stream(pa.py_buffer(data)) as reader:
        return reader.read_all()


def payload_document(
    batch_id: str, run_id: str, kind: PayloadKind, table: pa.Table, issues: Sequence[RowIssue] = ()
) -> Document:
    """The document that holds ``table`` (and the row issues of a parsed batch)."""
    return {
        "_id": payload_id(batch_id, kind),
        "run_id": run_id,
        "data": encode_table(table),
        "issues": [issue.model_dump(mode="json") for issue in issues],
        "created_at": datetime.now(UTC),
    }


async def load_payload(collection: Collection, batch_id: str, kind: PayloadKind) -> Document:
    """The document of ``payload_document``.

    Raises:
        PermanentError: ``ROWS_EXPIRED``; the run waited longer than rows are kept, or ended meanwhile.
    """
    found = await collection.find_one({"_id": payload_id(batch_id, kind)})
    if found is None:
        raise PermanentError(
            "ROWS_EXPIRED", f"the {kind} rows of batch {batch_id} are no longer stored; upload the file again"
        )
    return found


def payload_issues(document: Document) -> list[RowIssue]:
    """The row issues stored with a parsed batch."""
    return [RowIssue.model_validate(issue) for issue in document["issues"]]
