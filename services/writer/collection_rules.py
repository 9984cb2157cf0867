"""What the validator of a target collection says of many documents at once, without any of them being written.

Inside a transaction the server tells of one refused document and then of no more. So all of them are sent, outside
of it, to a collection in Rowdock's own database that has the same validator and a condition that nothing fulfils: it
explains each refusal as the target would, and stays empty for ever. Its name is the digest of its rules, so that all
writers share it and none can be out of date.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import bson
import numpy as np
from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure

from libs.storage.client import Collection, Document, Mongo
from services.writer.domain.batch_plan import RecordUpdate
from services.writer.domain.document_slots import EncodedRecords
from services.writer.domain.refusals import DOCUMENT_VALIDATION

NAME_PREFIX = "rules_"
_NEVER = {"$expr": False}
_NAMESPACE_EXISTS = 48
_LARGEST_DOCUMENT = 15 * 1024 * 1024
_REPLY_BYTES = 4 * 1024 * 1024
"""An explanation repeats the rules and the values, and the server drops a connection rather than answer with more
than 16 MiB."""
_VALUES_REPEATED = 4
_RECORDS_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules of a collection, as its options have them."""

    validator: Document
    collation: Document | None
    moderate: bool

    @property
    def size(self) -> int:
        return len(bson.encode(self.validator))

    @property
    def name(self) -> str:
        """Name of the empty collection that has them."""
        digest = hashlib.sha256(bson.encode({"validator": self.validator, "collation": self.collation}))
        return f"{NAME_PREFIX}{digest.hexdigest()[:24]}"


class CollectionRules:
    """The validator of one target collection."""

    def __init__(self, mongo: Mongo, records: Collection) -> None:
        self._mongo = mongo
        self._records = records

    async def there_are(self) -> bool:
        """Whether there is anything that documents may be refused for."""
        return await self._rules() is not None

    async def broken_by_new(self, encoded: EncodedRecords) -> dict[int, Document]:
        """Index and ``errInfo`` of each new record that the validator refuses."""
        rules = await self._rules()
        return {} if rules is None else await self._explained(rules, encoded)

    async def broken_by_updates(self, updates: Sequence[RecordUpdate]) -> dict[int, Document]:
        """Index and ``errInfo`` of each update that the validator refuses.

        A moderate validator lets records go on breaking its rules that have broken them before.
        """
        rules = await self._rules()
        if rules is None:
            return {}
        broken: dict[int, Document] = {}
        for first in range(0, len(updates), _RECORDS_AT_A_TIME):
            some = updates[first : first + _RECORDS_AT_A_TIME]
            found = self._records.find({"_id": {"$in": [update.record_id for update in some]}})
            held = {record["_id"]: record async for record in found}
            before = [held.get(update.record_id, {}) for update in some]
            after = [{**record, **update.changes} for record, update in zip(before, some, strict=True)]
            explained = await self._explained(rules, _encoded(after))
            if rules.moderate and explained:
                exempt = await self._explained(rules, _encoded(before))
                explained = {index: info for index, info in explained.items() if index not in exempt}
            broken.update({first + index: info for index, info in explained.items()})
        return broken

    async def _rules(self) -> _Rules | None:
        """The rules that refuse documents; ``None`` where there are none, or where they only warn."""
        answer = await self._mongo.target.command("listCollections", filter={"name": self._records.name})
        found: list[Document] = answer["cursor"]["firstBatch"]
        options: Document = found[0]["options"] if found else {}
        validator: Document | None = options.get("validator")
        if not validator or options.get("validationAction", "error") == "warn":
            return None
        return _Rules(validator, options.get("collation"), options.get("validationLevel") == "moderate")

    async def _explained(self, rules: _Rules, documents: EncodedRecords) -> dict[int, Document]:
        await self._made(rules)
        explained: dict[int, Document] = {}
        for first, last in _portions(documents, rules.size):
            answer = await self._mongo.state.command(
                "insert",
                rules.name,
                documents=[RawBSONDocument(documents.document(at)) for at in range(first, last)],
                ordered=False,
            )
            for error in answer.get("writeErrors", ()):
                info = _own(error)
                if info is not None:
                    explained[first + error["index"]] = info
        return explained

    async def _made(self, rules: _Rules) -> None:
        collation = {} if rules.collation is None else {"collation": rules.collation}
        validator = {"$and": [rules.validator, _NEVER]}
        try:
            await self._mongo.state.command({"create": rules.name, "validator": validator, **collation})
        except OperationFailure as error:
            if error.code != _NAMESPACE_EXISTS:
                raise


def _own(error: Mapping[str, Any]) -> Document | None:
    """``errInfo`` as the target would give it; ``None`` where only the condition that nothing fulfils is broken."""
    if error["code"] != DOCUMENT_VALIDATION:
        return None
    clauses = cast("Sequence[Document]", error.get("errInfo", {}).get("details", {}).get("clausesNotSatisfied", ()))
    return next(({"details": clause.get("details", {})} for clause in clauses if clause.get("index") == 0), None)


def _portions(documents: EncodedRecords, rule_bytes: int) -> Iterator[tuple[int, int]]:
    """First and one past the last document of each command, so that the reply cannot become too large."""
    first, size = 0, 0
    for at, length in enumerate(np.diff(documents.offsets).tolist()):
        explanation = rule_bytes + _VALUES_REPEATED * length
        if length > _LARGEST_DOCUMENT:
            # No command can hold it beside anything else; the target itself will say that it is too large.
            if first < at:
                yield first, at
            first, size = at + 1, 0
            continue
        if first < at and size + explanation > _REPLY_BYTES:
            yield first, at
            first, size = at, 0
        size += explanation
    if first < documents.count:
        yield first, documents.count


def _encoded(documents: Sequence[Document]) -> EncodedRecords:
    return EncodedRecords.of([bson.encode(document) for document in documents])
