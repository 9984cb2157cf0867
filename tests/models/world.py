"""The running product, driven beside the model, and the comparison of the two.

What consumers are told of the records is compared with these themselves, when all is over.
"""

import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
from bson import Decimal128, ObjectId

from deploy.local.stack import Stack
from libs.contracts.ids import record_id
from libs.contracts.topics import RECORDS_CHANGED
from services.gateway.access.api_keys import KEY_PREFIX, SHOWN_CHARS, digest
from tests.client import GatewayClient, eventually
from tests.folding import everything_told, folded, shown
from tests.models.imports import Imports
from tests.models.noise import Noise, messages_about
from tests.models.outcomes import Rejected
from tests.models.runs import Run
from tests.models.target import Id, Record
from tests.models.templates import File, Spec, Value
from tests.oracle import Oracle

RESOURCE = "modelled"
OWN = {"_id", "tenant_id", "is_deleted", "deleted_at", "created_at", "updated_at", "_import", "_keys", "extra"}
Document = dict[str, Any]


class World:
    """One organization of a running stack, and the model of it. Every step is done to both."""

    def __init__(self, stack: Stack, oracle: Oracle, noise: Noise) -> None:
        self.model = Imports()
        self._oracle = oracle
        self._noise = noise
        self._records = oracle.target[RESOURCE]
        self.tenant_id, key = str(ObjectId()), KEY_PREFIX + os.urandom(16).hex()
        now = datetime.now(UTC)
        oracle.state["organizations"].insert_one({"_id": self.tenant_id, "name": "modelled", "created_at": now})
        oracle.state["api_keys"].insert_one(
            {
                "_id": str(ObjectId()), "tenant_id": self.tenant_id, "name": "model", "digest": digest(key),
                "prefix": key[:SHOWN_CHARS], "created_at": now, "revoked_at": None,
            }
        )  # fmt: skip
        self._gateway = GatewayClient(stack.gateway, key)
        self._templates: dict[Spec, str] = {}
        self._ids: dict[int, str] = {}
        self._others: dict[Id, ObjectId] = {}
        self._rejected_ids: dict[tuple[int, int], str] = {}
        self._seen: dict[tuple[Id, int], Document] = {}
        self._touched: set[int] = set()
        self._noisy = False
        self._kafka = stack.kafka
        self._theirs: set[ObjectId] = set()

    def close(self) -> None:
        self._gateway.http.close()

    # --- steps ----------------------------------------------------------------------------------

    def upload(self, spec: Spec, file: File) -> Run:
        if spec not in self._templates:
            self._templates[spec] = self._gateway.create_template(spec.engine(RESOURCE))["id"]
            self.model.save(spec)
        run = self.model.upload(spec, file)
        self._touch(run)
        found = self._gateway.upload(self._templates[spec], file.content)
        self._ids[run.number] = found["id"]
        self._gateway.wait(found["id"], run.status)
        return run

    def preview(self, run: Run) -> None:
        self._touch(run)
        path = f"/imports/runs/{self._ids[run.number]}/preview"
        answer = self._gateway.http.post(path)
        assert answer.status_code in {200, 202}, answer.text
        found = eventually(lambda: _done(self._gateway.http.get(path).json()), "the preview is worked out")
        plan = run.planned(self.model.target)
        told = {**run.outcomes, **plan.outcomes}.values()
        outcomes = Counter(each.outcome for each in told)
        skipped = [each for each in told if each.outcome in {"skipped", "unchanged"}]
        expected = {
            "total_rows": len(run.rows),
            "to_create": outcomes["created"],
            "to_update": outcomes["updated"],
            "to_delete": outcomes["deleted"] + len(plan.going),
            "to_skip": outcomes["skipped"] + outcomes["unchanged"],
            "unchanged_count": outcomes["unchanged"],
            "rejected_count": outcomes["rejected"],
            "skipped": dict(Counter(each.reasons[0][1] for each in skipped)),
        }
        _equal({name: found[name] for name in expected}, expected, f"the preview of run {run.number}")
        run.seen = self.model.changes

    def execute(self, run: Run, *, confirm: bool, ignoring: bool) -> None:
        self._touch(run)
        query: dict[str, str] = {"ignore_changes": "true"} if ignoring else {}
        reasons = run.planned(self.model.target).reasons
        if confirm and run.spec.mode == "sync":
            query["confirm_deletes"] = "true"
        answer = self._gateway.http.post(f"/imports/runs/{self._ids[run.number]}/execute", params=query)
        if self.model.outdated(run) and not ignoring:
            _refused(answer, "PREVIEW_OUTDATED")
            return
        if reasons and not confirm:
            _refused(answer, "DELETES_NOT_CONFIRMED")
            found = self._gateway.run(self._ids[run.number])
            _equal((found["status"], found["sync"]["reasons"]), ("validated", reasons), "what the sync asks")
            return
        assert answer.status_code in {200, 202}, answer.text
        self._gateway.wait(self._ids[run.number])
        self.model.execute(run)

    def cancel(self, run: Run) -> None:
        self._touch(run)
        answer = self._gateway.try_cancel(self._ids[run.number])
        if run.status == "validated":
            assert answer.status_code in {200, 202}, answer.text
            self._gateway.wait(self._ids[run.number])
            run.stop("cancelled", "CANCELLED")
        else:
            _refused(answer, "WRONG_STATE")

    def revert(self, run: Run) -> None:
        self._touch(run)
        answer = self._gateway.try_revert(self._ids[run.number])
        if run.status != "completed":
            _refused(answer, "WRONG_STATE")
        elif self.model.standing_writes(run):
            _refused(answer, "HAS_RETRIES")
        else:
            assert answer.status_code in {200, 202}, answer.text
            run_id = self._ids[run.number]
            eventually(lambda: self._gateway.run(run_id)["status"] == "reverted", f"run {run.number} is reverted")
            if answer.status_code == httpx.codes.ACCEPTED:
                eventually(lambda: self._is_settled(run_id), f"the rows of run {run.number} are given back")
            self.model.revert(run)

    def _is_settled(self, run_id: str) -> bool:
        return self._oracle.state["runs"].count_documents({"_id": run_id, "unsettled": True}) == 0

    def correct(self, run: Run, rejected: Rejected, data: Mapping[str, str | None]) -> None:
        self._touch(run)
        answer = self._gateway.http.put(
            f"/imports/rejected/{self._rejected_id(run, rejected)}", json={"corrected_data": data}
        )
        assert answer.status_code == 200, answer.text
        self.model.correct(run, rejected, data)

    def discard(self, run: Run, rejected: Rejected) -> None:
        self._touch(run)
        answer = self._gateway.http.post(f"/imports/rejected/{self._rejected_id(run, rejected)}/discard")
        assert answer.status_code == 200, answer.text
        rejected.state = "discarded"

    def retry(self, run: Run, rejected: Rejected) -> None:
        path = f"/imports/rejected/{self._rejected_id(run, rejected)}/retry"
        self._retried(run, [rejected], self._gateway.http.post(path))

    def retry_all(self, run: Run, *, uncorrected: bool) -> None:
        self._touch(run)
        query = {"include_uncorrected": "true"} if uncorrected else {}
        answer = self._gateway.http.post(f"/imports/runs/{self._ids[run.number]}/retry-all", params=query)
        states = {"open", "corrected"} if uncorrected else {"corrected"}
        rows = [each for each in run.rejected.values() if each.state in states]
        if run.parent is not None:
            _refused(answer, "IS_A_RETRY")
        elif run.status != "completed":
            _refused(answer, "WRONG_STATE")
        elif not rows:
            _refused(answer, "NOTHING_TO_RETRY")
        else:
            self._retried(run, rows, answer)

    def _retried(self, run: Run, rows: list[Rejected], answer: httpx.Response) -> None:
        self._touch(run)
        assert answer.status_code in {200, 202}, answer.text
        retry = self.model.retry(run, rows)
        self._touch(retry)
        self._ids[retry.number] = answer.json()["id"]
        self._gateway.wait(answer.json()["id"])

    def make_noise(self, runs: list[int], order: list[int]) -> None:
        """Send messages about some runs again, in any order, some of them several times."""
        messages = [
            message
            for number in runs
            for message in messages_about(
                self._oracle.state["runs"].find_one({"_id": self._ids[number]}) or {},
                list(self._oracle.state["batches"].find({"run_id": self._ids[number]}, {"epoch": 1, "seq": 1})),
            )
        ]
        self._noisy = True
        self._touched |= set(runs)
        self._noise.send([messages[at % len(messages)] for at in order])

    def edit(self, record: Record, name: str, value: Value) -> None:
        self._theirs.add(self._real_id(record.id))
        self._records.update_one({"_id": self._real_id(record.id)}, {"$set": {name: _stored(value)}})
        self.model.target.edit(record.id, **{name: value})

    def mark_deleted(self, record: Record) -> None:
        self._theirs.add(self._real_id(record.id))
        change = {"is_deleted": True, "deleted_at": datetime.now(UTC)}
        self._records.update_one({"_id": self._real_id(record.id)}, {"$set": change})
        self.model.target.mark(record.id)

    def remove(self, record: Record) -> None:
        self._theirs.add(self._real_id(record.id))
        self._records.delete_one({"_id": self._real_id(record.id)})
        del self.model.target.records[record.id]

    def insert(self, fields: Mapping[str, Value]) -> None:
        record = self.model.insert(fields)
        stored = {name: _stored(value) for name, value in fields.items()}
        found = self._records.insert_one({"tenant_id": self.tenant_id, **stored, "is_deleted": False})
        self._others[record.id] = found.inserted_id
        self._theirs.add(found.inserted_id)

    def _touch(self, run: Run) -> None:
        self._touched |= {run.number} | ({run.parent} if run.parent is not None else set())

    # --- the comparison -------------------------------------------------------------------------

    def compare(self, *, everything: bool = False) -> None:
        """The target is what the model says, and so are the runs that were touched since the last time, or all."""
        self._compare_target()
        for run in self.model.runs:
            if everything or run.number in self._touched:
                self._compare_run(run)
                self._compare_rows(run)
                self._compare_rejected(run)
        self._touched.clear()

    def settle(self) -> None:
        """Everything is what the model says, once no message is under way any more."""
        if self._noisy:
            self._noise.wait_until_heard()
        self.compare(everything=True)
        self._compare_what_was_told()

    def _compare_what_was_told(self) -> None:
        """Whoever follows ``records.changed.v1`` has the records, but for what others have done to some of them."""
        waiting = {"topic": RECORDS_CHANGED.name}
        eventually(lambda: self._oracle.state["outbox"].count_documents(waiting) == 0, "all changes are told", 120)
        told = [each for each in everything_told(self._kafka) if each["tenant_id"] == self.tenant_id]
        theirs = set(map(str, self._theirs))
        copies = {name: copy for name, copy in folded(told, self.tenant_id, RESOURCE).items() if name not in theirs}
        found = self._records.find({"tenant_id": self.tenant_id, "_id": {"$nin": list(self._theirs)}})
        _equal(copies, shown(found), "what is told of the target")

    def _compare_target(self) -> None:
        found = {document["_id"]: document for document in self._records.find({"tenant_id": self.tenant_id})}
        wanted = {self._real_id(record.id): record for record in self.model.target.records.values()}
        shown = {identifier: self._shown(each) for identifier, each in found.items()}
        _equal(shown, {identifier: _wanted(each) for identifier, each in wanted.items()}, "the target")
        for identifier, record in wanted.items():
            document = found[identifier]
            assert (document.get("deleted_at") is not None) == record.deleted, document
            if not record.edited:
                plain = {name: value for name, value in document.items() if name != "_keys"}
                _equal(plain, self._seen.setdefault((record.id, record.stamp), plain), "a record as it was before")

    def _shown(self, document: Document) -> Document:
        origin = document.get("_import") or {}
        by = None
        if origin:
            numbers = {run_id: number for number, run_id in self._ids.items()}
            by = numbers[origin["run_id"]], origin.get("row")
        return {
            "fields": {name: _plain(value) for name, value in document.items() if name not in OWN},
            "extra": document.get("extra"),
            "deleted": document["is_deleted"],
            "by": by,
            "version": origin.get("version"),
            "warnings": sorted((each["field"] or "", each["code"]) for each in origin.get("warnings", [])),
        }

    def _compare_run(self, run: Run) -> None:
        found = self._gateway.run(self._ids[run.number])
        skipped = run.skipped()
        created, updated, deleted = map(run.count, ("created", "updated", "deleted"))
        expected: Document = {
            "status": run.status,
            "total_rows": len(run.rows),
            "written_count": created + updated + deleted,
            "created_count": created,
            "updated_count": updated,
            "deleted_count": deleted + run.swept,
            "unchanged_count": skipped["UNCHANGED"],
            "rejected_count": run.count("rejected"),
            "skipped_count": skipped.total(),
            "skipped": dict(skipped),
            "parent_run_id": None if run.parent is None else self._ids[run.parent],
        }
        _equal({name: found[name] for name in expected}, expected, f"run {run.number}")
        states = None if found["rejected_rows"] is None else {k: v for k, v in found["rejected_rows"].items() if v}
        named = {"written": "retried_written", "skipped": "retried_skipped"}
        wanted = Counter(named.get(each.state, each.state) for each in run.rejected.values())
        if run.rejected and run.status != "validated":
            _equal(states, dict(wanted), f"the rejected rows of run {run.number}")
        reverted = None
        if run.reverted is not None:
            reverted = {f"{name}_count": run.reverted[name] for name in ("removed", "restored", "returned", "kept")}
        _equal(found["reverted"], reverted, f"the revert of run {run.number}")
        kept = [(each["record_id"], each["row"], each["reason"], sorted(each["fields"])) for each in found["kept"]]
        noted = [(str(self._real_id(record)), row, reason, sorted(fields)) for record, row, reason, fields in run.kept]
        _equal(sorted(kept, key=str), sorted(noted, key=str), f"what run {run.number} kept")

    def _compare_rows(self, run: Run) -> None:
        found = self._gateway.rows(self._ids[run.number], limit=1_000)
        for each in found:
            reasons = {(reason["field"], reason["code"]) for reason in each["reasons"]}
            kept = None if each["kept"] is None else (each["kept"]["reason"], tuple(sorted(each["kept"]["fields"])))
            outcome = run.outcomes[each["row"]]
            record = None if outcome.record is None else str(self._real_id(outcome.record))
            shown = (each["outcome"], reasons, each["record_id"], each["revert"], kept)
            wanted = (outcome.outcome, set(outcome.reasons), record, outcome.revert, outcome.kept)
            _equal(shown, wanted, f"row {each['row']} of run {run.number}")
        _equal([each["row"] for each in found], sorted(run.rows), f"the rows of run {run.number}")

    def _compare_rejected(self, run: Run) -> None:
        found = self._gateway.rejected(self._ids[run.number], 1_000)
        shown: dict[int, Document] = {}
        for each in found:
            self._rejected_ids[run.number, each["row"]] = each["id"]
            shown[each["row"]] = {
                "state": each["state"],
                "errors": sorted({(error["field"] or "", error["code"]) for error in each["errors"]}),
                "corrected": each["corrected_data"],
                "skip_reason": each["skip_reason"],
                "retry": each["retry_run_id"],
            }
        wanted = {
            each.row: {
                "state": each.state,
                "errors": sorted({(field or "", code) for field, code in each.errors}),
                "corrected": each.corrected,
                "skip_reason": each.skip_reason,
                "retry": None if each.retry is None else self._ids[each.retry],
            }
            for each in run.rejected.values()
        }
        _equal(shown, wanted, f"the rejected rows of run {run.number}")

    def _real_id(self, identifier: Id) -> ObjectId:
        if identifier[0] == "other":
            return self._others[identifier]
        _, run, row = identifier
        return ObjectId(record_id(self._ids[run], row))

    def _rejected_id(self, run: Run, rejected: Rejected) -> str:
        return self._rejected_ids[run.number, rejected.row]


def _wanted(record: Record) -> Document:
    return {
        "fields": dict(record.fields),
        "extra": record.extra,
        "deleted": record.deleted,
        "by": record.by,
        "version": record.version,
        "warnings": sorted((name or "", code) for name, code in record.warnings),
    }


def _plain(value: object) -> object:
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(repr(value))
    return value


def _stored(value: Value) -> object:
    return Decimal128(value) if isinstance(value, Decimal) else value


def _done(preview: Document) -> Document | None:
    return preview if preview.get("status") == "done" else None


def _refused(answer: httpx.Response, code: str) -> None:
    assert (answer.status_code, answer.json().get("code")) == (409, code), answer.text


def _equal(found: object, wanted: object, what: str) -> None:
    assert found == wanted, f"{what}:\n found {found}\nwanted {wanted}"
