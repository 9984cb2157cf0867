"""Work out what a validated run would do to its target, and change nothing.

Batch by batch the same planner decides as at the execution, by a snapshot of the records that exist. What the server
would refuse is found by asking for the holders of unique values and by the rules of the collection; rows are then taken
out of the batch by the same code as when the server has refused them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from libs.batches.payloads import BatchPayloads, PayloadKind
from libs.batches.tables import decode_table, unpack_rows
from libs.contracts.errors import PermanentError, TransientError
from libs.contracts.lanes import Lane
from libs.contracts.reasons import RowErrorCode, RunErrorCode
from libs.contracts.record_keys import KEYS, PLACES, SCOPE_PATH
from libs.contracts.rejections import RowError
from libs.contracts.states import BatchState, RunStatus
from libs.contracts.templates import SYSTEM_TIMES, ImportMode
from libs.ledger import Ledger, Totals
from libs.ledger.run_requests import MOST_ATTEMPTS, HeldRequest
from libs.process.loops import repeating, work_off
from libs.storage.client import Document, Mongo
from libs.storage.documents import BatchResult, RunDocument
from libs.storage.target_keys import TargetKey
from libs.telemetry.failpoints import failpoint
from services.writer.conflicts import KeysChangedError, OutOfScopeError, values_of, without_duplicates
from services.writer.domain.batch_plan import BatchPlan, Fields, Record, Values, row_numbers
from services.writer.domain.preview_samples import Samples
from services.writer.domain.record_encoding import RecordEncoder
from services.writer.domain.refusals import DOCUMENT_VALIDATION, refusal_errors
from services.writer.domain.unique_claims import Claim, EarlierClaims, claims_of, first_refused
from services.writer.planning import existing_records, plan_of, result_of, wanted_records, within_scope
from services.writer.sync_planning import SyncLookup
from services.writer.target_records import StaleKeysError, TargetRecords
from services.writer.work import RowErrors, Run, Work, rows_to_delete, run_at_work

LEASE_SECONDS = 30.0
LOOK_SECONDS = 2.0
"""How often a writer looks for previews that nobody has told it of."""


class PreviewRun:
    """Works out previews: one of small files and one of any files at a time in a process."""

    def __init__(self, mongo: Mongo, ledger: Ledger, owner: str) -> None:
        self._mongo = mongo
        self._ledger = ledger
        self._owner = owner
        self._payloads = BatchPayloads(mongo)
        self._syncs = SyncLookup(mongo, ledger)
        self._told = {lane: asyncio.Event() for lane in Lane}

    def begin(self) -> None:
        """There is a preview to work out."""
        for told in self._told.values():
            told.set()

    async def work(self, lane: Lane) -> None:
        """Work out previews until cancelled.

        Args:
            lane: with ``SMALL``, only those of small files.
        """
        wanted = Lane.SMALL if lane is Lane.SMALL else None
        await work_off(self._told[lane], lambda: self.next(wanted), LOOK_SECONDS, "previews")

    async def next(self, lane: Lane | None = None) -> bool:
        """Work out the preview whose turn it is; whether there was one."""
        held = await self._ledger.previews.take_next(self._owner, LEASE_SECONDS, lane)
        if held is None:
            return False
        progress = _Progress()
        renew = repeating(
            LEASE_SECONDS / 3, lambda: self._ledger.previews.renew(held, LEASE_SECONDS, progress.rows), "preview"
        )
        try:
            async with renew:
                await self._work_out(held, progress)
        except PermanentError as error:
            await self._ledger.previews.fail(held, error.code, error.detail)
        except Exception:
            await self._ledger.previews.give_back(held)
            raise
        return True

    async def _work_out(self, held: HeldRequest, progress: "_Progress") -> None:
        if held.attempts > MOST_ATTEMPTS:
            raise PermanentError(
                RunErrorCode.BATCH_FAILED,
                f"working out the preview failed {MOST_ATTEMPTS} times. This is a fault of Rowdock or its servers, not "
                "of the file; tell the operator the id of this run",
            )
        document = await self._ledger.runs.get(held.run_id)
        if document is None:
            await self._ledger.previews.drop(held.run_id)
            return
        if document.status is not RunStatus.VALIDATED or document.stop is not None or document.plan is None:
            message = f"the run is {document.status.value} and has no preview; only a run that is validated has"
            await self._ledger.previews.fail(held, "WRONG_STATE", message)
            return
        seen = await self._ledger.previews.seen(document)
        run = run_at_work(self._mongo, document, document.plan)
        keys = await run.target.keys()
        rules = await run.target.rules.there_are()
        asked = [set(names) for names in run.asked_keys]
        earlier = EarlierClaims([key.id for key in keys if set(key.names) in asked])
        samples = Samples(run.template)
        async for batch in self._ledger.batches.in_state(run.id, BatchState.VALIDATED):
            payload = await self._payloads.load(batch.id, PayloadKind.VALID)
            checked = await asyncio.to_thread(decode_table, payload.data)
            to_delete = await rows_to_delete(self._payloads, run, batch)
            work = Work(run, batch, keys, checked, checked, to_delete, to_delete)
            work, plan = await self._planned(work, earlier, rules=rules)
            await asyncio.to_thread(_sample, samples, work, plan)
            progress.add(result_of(work, plan), batch.rows)
        if progress.rows != document.parse.rows:
            raise TransientError("the run was moved on while its preview was worked out")
        counts = progress.totals.counts(document.parse.rows)
        if document.sweeps:
            counts = counts.model_copy(update={"not_in_file": await self._not_in_file(document, samples)})
        failpoint("writer.previewed_before_recorded")
        await self._ledger.previews.finish(held, counts, samples.found, seen)

    async def _not_in_file(self, document: RunDocument, samples: Samples) -> int:
        """How many records a sync would delete because its file does not hold them."""
        run, held = await self._syncs.held(document)
        going = 0
        async for some in self._syncs.missing(run, held):
            going += len(some.ids)
            samples.add_missing(some.ids)
        return going

    async def _planned(self, work: Work, earlier: EarlierClaims, *, rules: bool) -> tuple[Work, BatchPlan]:
        """The batch without the rows that the target would refuse, and its plan.

        Each turn takes at least one row out of the batch, so this ends.
        """
        planned_at = datetime.now(UTC)
        while True:
            try:
                existing = await self._existing(work)
            except OutOfScopeError as beyond:
                work = work.without(beyond.errors)
                continue
            plan = await asyncio.to_thread(plan_of, work, existing, planned_at)
            if rules and (broken := await self._breaking_rules(work, plan, planned_at)):
                work = work.without(broken)
                continue
            claims = await asyncio.to_thread(claims_of, plan, work.run.template, work.keys, existing)
            refused = first_refused(claims, await self._holders(work, claims), earlier)
            if refused is None:
                earlier.add(claims)
                return work, plan
            work = await self._without(work, refused)

    async def _existing(self, work: Work) -> Mapping[Any, Record]:
        run = work.run
        if not run.template.matches_by_key:
            return {}
        existing: Mapping[Any, Record] = {}
        by_fields = await run.target.has_unadopted()
        try:
            async with self._mongo.client.start_session(snapshot=True) as session:
                existing, _ = await existing_records(work, session)
        except (KeysChangedError, StaleKeysError):
            by_fields = True
        if not by_fields:
            return existing
        # The execution gives records their entries first; here they are found by their fields.
        values, fields = await asyncio.to_thread(wanted_records, work)
        assert run.template.upsert_key is not None
        more = [*fields, "_import", KEYS, *SYSTEM_TIMES]
        wanted = [(value,) for value in values if value is not None]
        found = await _by_fields(run.target, (run.template.upsert_key,), wanted, more)
        existing = {**existing, **{value: record for (value,), record in found.items()}}
        await within_scope(work, existing)
        return existing

    async def _breaking_rules(self, work: Work, plan: BatchPlan, planned_at: datetime) -> RowErrors:
        run, rules = work.run, work.run.target.rules
        encoder = RecordEncoder(run.template, run.id, run.tenant_id, planned_at, run.extra, work.keys)
        encoded = await asyncio.to_thread(encoder.encode, plan.create)
        created = row_numbers(plan.create)
        found: list[tuple[int, Document]] = []
        for changes in (plan.updates, plan.deletions):
            broken = await rules.broken_by_updates(changes)
            found += [(changes[index].row, info) for index, info in broken.items()]
        found += [(created[index], info) for index, info in (await rules.broken_by_new(encoded)).items()]
        resource, sets = run.target.resource, run.template.sets
        return {row: refusal_errors(DOCUMENT_VALIDATION, {"errInfo": info}, resource, sets) for row, info in found}

    async def _holders(self, work: Work, claims: list[Claim]) -> dict[Any, Mapping[Values, Record]]:
        """The records that hold what is claimed, by the id of the key."""
        found: dict[Any, Mapping[Values, Record]] = {}
        for key in work.keys:
            wanted = [claim.after for claim in claims if claim.key.id == key.id and claim.after is not None]
            if wanted:
                found[key.id] = await self._held(work.run, key, wanted)
        return found

    async def _held(
        self, run: Run, key: TargetKey, wanted: list[Values], more: Sequence[str] = ()
    ) -> Mapping[Values, Record]:
        found: Mapping[Values, Record] = {}
        by_fields = await run.target.has_unadopted()
        try:
            found = await run.target.by_values(key.names, wanted, more, key)
        except StaleKeysError:
            by_fields = True
        return {**found, **await _by_fields(run.target, key.names, wanted, more)} if by_fields else found

    async def _taken(self, work: Work, fields: Fields, key: TargetKey | None) -> Mapping[Values, Record]:
        values, more = await asyncio.to_thread(values_of, work, fields)
        if key is None:
            return await work.run.target.by_values(fields, values, more, None)
        return await self._held(work.run, key, values, more)

    async def _found(self, work: Work) -> frozenset[Any] | None:
        if work.run.template.mode is not ImportMode.UPDATE:
            return None
        every = replace(work, table=work.checked)
        return frozenset(await self._existing(every))

    async def _without(self, work: Work, refused: Claim) -> Work:
        """As where the server has refused the row."""
        key, values = refused.key, refused.after
        assert values is not None
        places = [f"{KEYS}.{place}" for place in PLACES[: len(values)]]
        reason = {
            "keyPattern": dict.fromkeys([SCOPE_PATH, *places], 1),
            "keyValue": {SCOPE_PATH: key.id, **dict(zip(places, values, strict=True))},
        }
        try:
            rest = await without_duplicates(work, refused.row, reason, self._taken, self._found)
        except StaleKeysError:
            rest = work
        if len(rest.rejections) > len(work.rejections):
            return rest
        message = f"Another record holds the {' and '.join(key.names)} of this row. Change this row or remove it."
        return work.without({refused.row: (RowError(key.names[0], None, RowErrorCode.DUPLICATE_KEY, message),)})


async def _by_fields(
    target: TargetRecords, names: Fields, wanted: list[Values], more: Sequence[str]
) -> dict[Values, Document]:
    """The records that hold one of the ``wanted`` values, whether or not they carry entries, however they spell it."""
    unadopted = await target.unadopted(names, more)
    spelled = {values: unadopted[values] for values in wanted if values in unadopted}
    return {**spelled, **await target.by_values(names, wanted, more, None)}


class _Progress:
    """The batches of a run that are planned, added up."""

    def __init__(self) -> None:
        self.rows = 0
        self.totals = Totals()

    def add(self, result: BatchResult, rows: int) -> None:
        self.rows += rows
        self.totals.result = self.totals.result.plus(result.model_dump())


def _sample(samples: Samples, work: Work, plan: BatchPlan) -> None:
    run = work.run
    some = plan.create.slice(0, max(samples.wanted("create"), 0))
    encoder = RecordEncoder(run.template, run.id, run.tenant_id, datetime.now(UTC), run.extra, ())
    encoded = encoder.encode(some)
    rows = row_numbers(some)
    skipped: dict[str, list[int]] = {
        reason: unpack_rows(packed).tolist() for reason, packed in work.batch.skipped_rows.items()
    }
    for reason, more in plan.skipped.items():
        skipped[str(reason)] = [*skipped.get(str(reason), []), *more]
    samples.add(plan, [encoded.document(at) for at in range(len(rows))], rows, skipped, work.rejections)
