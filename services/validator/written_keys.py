"""The keys of what the parent of a retry, and its earlier retries, have written."""

import numpy as np
import pyarrow as pa

from libs.batches.columns import ROW
from libs.batches.payloads import BatchPayloads, PayloadKind
from libs.batches.tables import decode_table
from libs.contracts.errors import PermanentError
from libs.contracts.reasons import RunErrorCode
from libs.storage.client import Mongo
from libs.storage.documents import BatchDocument, RejectedRecord, RunDocument

_OF_ROWS = {"sweeps": {"$ne": True}}
"""Batches of the deletions of a sync have no rows."""


class WrittenKeys:
    """Reads the ``keys`` that completed runs keep; see ``BatchPayloads``."""

    def __init__(self, mongo: Mongo) -> None:
        self._payloads = BatchPayloads(mongo)
        self._runs = mongo.state[RunDocument.Settings.name]
        self._batches = mongo.state[BatchDocument.Settings.name]
        self._rejected = mongo.state[RejectedRecord.Settings.name]

    async def batches(self, retry: RunDocument) -> list[tuple[str, str, int, int, int]]:
        """Of every batch that was written: run, id, first and last row, and how many of its rows were rejected."""
        runs = [run["_id"] async for run in self._runs.find(_family(retry), {"_id": 1}).sort("_id")]
        found: list[tuple[str, str, int, int, int]] = []
        for run_id in runs:
            shown = {"row_from": 1, "row_to": 1, "result.rejected": 1}
            async for batch in self._batches.find({"run_id": run_id, "state": "written", **_OF_ROWS}, shown).sort(
                "seq"
            ):
                rejected = batch["result"]["rejected"]
                found.append((run_id, batch["_id"], batch["row_from"], batch["row_to"], rejected))
        return found

    async def keys(self, tenant_id: str, batch: tuple[str, str, int, int, int]) -> pa.Table:
        """The keys of a batch without those of its rejected rows.

        Raises:
            PermanentError: ``ROWS_EXPIRED``; they are no longer stored, or a release that does not know of retries has
                written the run.
        """
        run_id, identifier, row_from, row_to, rejected = batch
        payload = await self._payloads.find(identifier, PayloadKind.KEYS)
        if payload is None:
            raise PermanentError(
                RunErrorCode.ROWS_EXPIRED,
                "the values that this run has written are no longer stored, so that nobody can tell whether the "
                "corrected rows repeat them; import the corrected rows as a file",
            )
        keys = decode_table(payload.data)
        if not rejected:
            return keys
        within = {"tenant_id": tenant_id, "run_id": run_id, "row": {"$gte": row_from, "$lte": row_to}}
        rows = [each["row"] async for each in self._rejected.find(within, {"_id": 0, "row": 1})]
        return keys.filter(pa.array(~np.isin(keys[ROW].to_numpy(), np.array(rows, np.uint32))))


def _family(retry: RunDocument) -> dict[str, object]:
    family = [{"_id": retry.parent_run_id}, {"parent_run_id": retry.parent_run_id}]
    return {"$or": family, "tenant_id": retry.tenant_id, "status": "completed"}
