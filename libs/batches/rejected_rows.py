"""The store of rejected rows: who rejects a row writes it here, in the transaction that counts it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from libs.contracts.ids import rejected_id
from libs.contracts.rejections import RejectedRow, RejectedState
from libs.storage.client import Document, Mongo, Session
from libs.storage.documents import RejectedRecord

_ROWS_AT_A_TIME: Final = 250


class RejectedRows:
    """Rejected rows by run, each under an id of its row; read by the gateway, which binds the organization."""

    def __init__(self, mongo: Mongo) -> None:
        self._rows = mongo.state[RejectedRecord.Settings.name]

    async def insert(self, session: Session, tenant_id: str, run_id: str, rows: Iterable[RejectedRow]) -> None:
        """Store ``rows``, a few at a time: those of a whole batch need not be in memory as Python objects."""
        now = datetime.now(UTC)
        documents = (_document(tenant_id, run_id, row, now) for row in rows)
        while some := list(islice(documents, _ROWS_AT_A_TIME)):
            await self._rows.insert_many(some, session=session)

    async def drop(self, tenant_id: str, run_id: str) -> None:
        """Delete all rejected rows of a run."""
        await self._rows.delete_many({"tenant_id": tenant_id, "run_id": run_id})


def _document(tenant_id: str, run_id: str, row: RejectedRow, created_at: datetime) -> Document:
    return {
        "_id": rejected_id(run_id, row.row),
        "tenant_id": tenant_id,
        "run_id": run_id,
        "row": row.row,
        "cells": row.cells,
        "errors": [
            {
                "field": error.field,
                "column": error.column,
                "code": error.code,
                "message": error.message,
                "value": error.value,
            }
            for error in row.errors
        ],
        "state": RejectedState.OPEN.value,
        **({"unread": True} if row.unread else {}),
        "created_at": created_at,
    }
