"""Finds every row whose record the server refuses, by asking the server itself.

The first refusal ends a transaction, so the batch's own transaction tells of one row only. Instead of trying the whole
batch again for each, the rows behind it are tried in transactions of their own that are always rolled back: as many
rows at a time as pass, one at a time where all are refused. So each row is sent about once, however many are refused.
Where many break the rules of the collection's validator, these are asked about all rows at once.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from pymongo.errors import OperationFailure

from libs.storage.client import Document, Mongo, Session
from libs.storage.mongo_errors import is_transient
from libs.telemetry.error_text import error_text
from services.writer.domain.refusals import DOCUMENT_VALIDATION
from services.writer.target_records import WriteRefusedError

ONE_BY_ONE = 20
"""So many rows that break the validator's rules are found by trying."""

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RowWrites:
    """Writes of one kind in a batch, one for each of some rows.

    Attributes:
        rows: numbers of the rows.
        write: makes the writes of ``rows[first:last]``; the indexes of its errors count from ``first``.
        broken_rules: tells which writes the collection's validator would refuse: index and ``errInfo`` of each.
    """

    rows: Sequence[int]
    write: Callable[[Session, int, int], Awaitable[None]]
    broken_rules: Callable[[], Awaitable[Mapping[int, Document]]]

    async def all(self, session: Session) -> None:
        """Make all of them.

        Raises:
            RowRefusedError: the server refuses one.
        """
        if not self.rows:
            return
        try:
            await self.write(session, 0, len(self.rows))
        except WriteRefusedError as refusal:
            raise RowRefusedError(self, refusal) from refusal


class RowRefusedError(Exception):
    """The server refuses the record of one row; the transaction is lost.

    Attributes:
        writes: among which it is.
        refusal: the server's answer.
    """

    def __init__(self, writes: RowWrites, refusal: WriteRefusedError) -> None:
        super().__init__(str(refusal))
        self.writes = writes
        self.refusal = refusal

    @property
    def row(self) -> int:
        """Number of the row."""
        return self.writes.rows[self.refusal.index]


class _TriedOnlyError(Exception):
    """Rolls a transaction back that was only a try."""


async def refused_rows(mongo: Mongo, first: RowRefusedError) -> dict[int, WriteRefusedError]:
    """Number of each row that the server refuses among the writes of ``first``, ``first`` included, and its answer."""
    writes = first.writes
    refused = {first.row: first.refusal}
    start, width, tried = first.refusal.index + 1, 1, 0
    while start < len(writes.rows):
        end = min(start + width, len(writes.rows))
        refusal = await _tried(mongo, writes, start, end)
        if refusal is None:
            start, width = end, 2 * width
            continue
        refused[writes.rows[start + refusal.index]] = refusal
        start, width = start + refusal.index + 1, max(1, 2 * refusal.index)
        tried += refusal.code == DOCUMENT_VALIDATION
        if tried == ONE_BY_ONE and (broken := await _breaking_rules(writes)):
            return {**broken, **refused}
    return refused


async def _breaking_rules(writes: RowWrites) -> dict[int, WriteRefusedError]:
    try:
        broken = await writes.broken_rules()
    except OperationFailure as error:
        if is_transient(error):
            raise
        # No right to make a collection, for instance: then the rows are tried one by one.
        logger.warning("collection_rules.not_asked", error=error_text(error))
        return {}
    return {
        writes.rows[index]: WriteRefusedError(index, DOCUMENT_VALIDATION, {"errInfo": info})
        for index, info in broken.items()
    }


async def _tried(mongo: Mongo, writes: RowWrites, first: int, last: int) -> WriteRefusedError | None:
    async def body(session: Session) -> None:
        await writes.write(session, first, last)
        raise _TriedOnlyError

    try:
        await mongo.transaction(body)
    except _TriedOnlyError:
        return None
    except WriteRefusedError as refusal:
        return refusal
    raise AssertionError("a try is never committed")
