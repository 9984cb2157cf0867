"""Keys of the target: combinations of fields that no two live records of a tenant share, and what guarantees it.

A key binds the records of the tenant that asked for it and nobody else's, although tenants share collections: each
registration (tenant, resource, combination of fields) has an id, and a record carries, for each key that it has, the
entry ``{s: <id>, a: <value>, …}`` in its field ``_keys``, with texts as they are compared (``record_keys``). The server
makes the entries from the records' fields; it knows no composed letters, so what texts are compared as that are not
spelled in the simplest way is looked up and told it. One unique index over ``_keys`` serves all tenants of a
collection. A registration that was released and is asked for again gets another id, so what an old one has left in
records binds nobody.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure, WriteError

from libs.contracts.errors import PermanentError, RowdockError
from libs.contracts.reasons import RunErrorCode
from libs.contracts.record_keys import KEYS, PLACES, SCOPE, SCOPE_PATH, SPELLED
from libs.contracts.states import BatchState, RunStatus
from libs.storage.client import Collection, Document, Mongo, Session
from libs.storage.documents import BatchDocument, RunDocument, TargetKeyDocument
from libs.storage.key_entries import TargetKey, forgetting, keys_pipeline, renewing, spellings, with_entry
from libs.storage.mongo_errors import DOCUMENT_VALIDATION, is_transient
from libs.telemetry.failpoints import failpoint

KEYS_INDEX = "rowdock_keys"
FOREIGN_INDEX = "rowdock_unadopted"
LIVE_INDEX = "rowdock_live"
KEY_TYPES = ["string", "number", "date", "bool"]
"""BSON types of a value of a key. A record without one of them in every field of a key does not have that key."""
RECORDS_AT_A_TIME = 1_000
BUILDING, ACTIVE = "building", "active"

_UNADOPTED: Document = {"_import.created_at": None, KEYS: None, "is_deleted": False}
"""No change that an import makes to a record touches these: an update that touches what any index goes by has the
server look at every index of the collection."""
_FOREIGN: Document = {**_UNADOPTED, "_import": None}
_WITH_ENTRIES: Document = {SCOPE_PATH: {"$type": "objectId"}, "is_deleted": False}

_WRITING = {
    RunStatus.EXECUTING.value: BatchState.VALIDATED.value,
    RunStatus.REVERTING.value: BatchState.WRITTEN.value,
}
"""Runs whose writers change records, and the state of the batches that they still have to do."""

INDEXES = (
    IndexModel(
        [(f"{KEYS}.{member}", ASCENDING) for member in (SCOPE, *PLACES)],
        name=KEYS_INDEX,
        unique=True,
        partialFilterExpression=_WITH_ENTRIES,
    ),
    # Holds nothing of what this release imports: only what other applications have inserted since the last adoption,
    # and what release 0.1 has created for tenants without keys.
    IndexModel([("tenant_id", ASCENDING)], name=FOREIGN_INDEX, partialFilterExpression=_UNADOPTED),
)

OF_SYNCS = IndexModel([("tenant_id", ASCENDING)], name=LIVE_INDEX, partialFilterExpression={"is_deleted": False})
"""The live records of each tenant, in collections that somebody has synced: a sync looks through its tenant's records,
and would read those of all others without it."""


class KeysNotUniqueError(RowdockError):
    """Live records of the tenant have the same values already.

    Attributes:
        names: in these fields.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"live records have the same {', '.join(names)}")
        self.names = names

    def of_run(self, resource: str) -> PermanentError:
        """The failure of a run whose template asks for that key in ``resource``."""
        return PermanentError(
            RunErrorCode.KEYS_NOT_UNIQUE,
            f"records in {resource!r} have the same {' and '.join(map(repr, self.names))} already, and the template "
            "asks that no two do; choose another upsert_key or leave out the rule's against_target, or remove the "
            "duplicates",
        )


class TooManyKeysError(RowdockError):
    """The tenant would have more keys in a resource than it may have.

    Attributes:
        names: fields of the first one that is too many.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"one key too many: {', '.join(names)}")
        self.names = names


def holders_of(tenant_id: str, key: TargetKey, values: Sequence[Sequence[Any]]) -> Document:
    """The filter of the live records that have one of ``values`` for a key, such that the index serves it.

    Of a key with several fields it finds some more: those that have each value somewhere among ``values``.
    """
    columns = zip(*values, strict=True) if values else [()] * len(key.names)
    members = {place: {"$in": list(column)} for place, column in zip(PLACES, columns, strict=False)}
    return {KEYS: {"$elemMatch": {SCOPE: key.id, **members}}, **_WITH_ENTRIES, "tenant_id": tenant_id}


def spelled_unadopted(tenant_id: str, names: Iterable[str]) -> Document:
    """The filter of records that ``TargetKeys.adopt`` would give their entries, and that may spell a value of ``names``
    in another way than it is compared."""
    spelled: list[Document] = [{name: {"$regex": SPELLED}} for name in names]
    return {**_FOREIGN, "tenant_id": tenant_id, "$or": spelled}


class TargetKeys:
    """The registry of keys, and their indexes and entries in the target.

    Everything may be done by any process, again after a crash in the middle, and side by side.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._registry = mongo.state[TargetKeyDocument.Settings.name]

    async def of(self, tenant_id: str, resource: str, session: Session | None = None) -> tuple[TargetKey, ...]:
        """What binds the tenant's records of a resource, by the fields' names; also what is only being built.

        A writer gives every record the entries of all of them, and reads them in the transaction in which it writes.
        """
        found = self._registry.find(
            {"tenant_id": tenant_id, "resource": resource, "released_at": None},
            {"names": 1},
            sort=[("combination", ASCENDING)],
            session=session,
        )
        return tuple([_key(document) async for document in found])

    async def require(self, tenant_id: str, resource: str, wanted: Sequence[tuple[str, ...]]) -> tuple[TargetKey, ...]:
        """``register``, and the collection with its indexes is there and records of other applications have their
        entries: before a run compares its rows with records, or writes the first of them.

        Nothing happens to the collection where the tenant has no keys in it.

        Raises:
            KeysNotUniqueError: as ``register``.
        """
        keys = await self.register(tenant_id, resource, wanted)
        if keys:
            await self._mongo.target[resource].create_indexes(list(INDEXES))
            await self.adopt(tenant_id, resource)
        return keys

    async def register(
        self, tenant_id: str, resource: str, wanted: Sequence[tuple[str, ...]], *, limit: int | None = None
    ) -> tuple[TargetKey, ...]:
        """See that what is ``wanted`` binds every live record of the tenant; what ``of`` returns then.

        No collection is made: where there is none, ``require`` makes it.

        Args:
            tenant_id: whose records.
            resource: their collection.
            wanted: combinations of fields, see ``libs.contracts.templates.combination``.
            limit: most keys that the tenant may have in the resource.

        Raises:
            KeysNotUniqueError: the live records break a key already.
            TooManyKeysError: the tenant would have more than ``limit``.
            pymongo.errors.OperationFailure: the collection can have no such indexes.
            In each case nothing new stays registered.
        """
        while True:
            made = await self._register(tenant_id, resource, wanted, limit)
            failpoint("target_keys.registered")
            try:
                await self._build(tenant_id, resource, frozenset(wanted))
            except (KeysNotUniqueError, OperationFailure) as error:
                if not is_transient(error):
                    for key in made:
                        await self.withdraw(tenant_id, resource, key)
                raise
            keys = await self.of(tenant_id, resource)
            # Somebody may have released one meanwhile.
            if {key.names for key in keys}.issuperset(wanted):
                return keys

    async def adopt(self, tenant_id: str, resource: str) -> int:
        """Give records that other applications have inserted their entries; how many records those were.

        One whose key another record has already goes without that key.
        """
        keys = await self.of(tenant_id, resource)
        records = self._mongo.target[resource]
        adopted = 0
        async for ids in _portions(records, {**_FOREIGN, "tenant_id": tenant_id}):
            async for some, spelled in spellings(records, ids, keys):
                taken = await _update_unless_taken(records, some, _FOREIGN, keys_pipeline(keys, spelled))
                if taken:
                    await _update_all(records, {"_id": {"$in": taken}, **_FOREIGN}, keys_pipeline(()))
                    for key in keys:
                        await _update_unless_taken(records, taken, _lacking(tenant_id, key), with_entry(key, spelled))
            adopted += len(ids)
            failpoint("target_keys.adopted_some")
        return adopted

    async def has_unadopted(self, tenant_id: str, resource: str) -> bool:
        """Whether there are records that ``adopt`` would give their entries."""
        foreign = {**_FOREIGN, "tenant_id": tenant_id}
        return await self._mongo.target[resource].find_one(foreign, {"_id": 1}) is not None

    async def renew(self, tenant_id: str, resource: str, ids: Sequence[Any]) -> None:
        """Give records their entries anew: others changed their fields and not these, or made them without.

        One whose key another record has already goes without that key. Entries of what is registered meanwhile stay.
        """
        keys = await self.of(tenant_id, resource)
        records = self._mongo.target[resource]
        async for some, spelled in spellings(records, ids, keys):
            taken = await _update_unless_taken(records, some, {"tenant_id": tenant_id}, renewing(keys, spelled))
            if taken:
                await _update_all(records, {"_id": {"$in": taken}, "tenant_id": tenant_id}, forgetting(keys))
                for key in keys:
                    await _update_unless_taken(records, taken, _lacking(tenant_id, key), with_entry(key, spelled))

    # --- registering ----------------------------------------------------------------------------

    async def _register(
        self, tenant_id: str, resource: str, wanted: Sequence[tuple[str, ...]], limit: int | None
    ) -> list[TargetKey]:
        """Register what is missing, as being built; what this call registered."""
        there = {key.names for key in await self.of(tenant_id, resource)}
        missing = [names for names in dict.fromkeys(wanted) if names not in there]
        if limit is not None and missing and len(there) + len(missing) > limit:
            raise TooManyKeysError(missing[max(0, limit - len(there))])
        asked = [await self._ask(tenant_id, resource, names) for names in dict.fromkeys(wanted)]
        return [key for key in asked if key is not None]

    async def _ask(self, tenant_id: str, resource: str, names: tuple[str, ...]) -> TargetKey | None:
        """Note that a key is asked for now; ``None`` where it was there."""
        one = {"tenant_id": tenant_id, "resource": resource, "combination": ",".join(names), "released_at": None}
        kept: Document = {"created_at": "$$NOW", "names": list(names), "state": BUILDING}
        update = [{"$set": {"asked_at": "$$NOW", **{name: {"$ifNull": [f"${name}", kept[name]]} for name in kept}}}]
        while True:
            try:
                made = (await self._registry.update_one(one, update, upsert=True)).upserted_id
            except DuplicateKeyError:
                continue  # somebody else registered it at the same moment
            return None if made is None else TargetKey(made, names)

    # --- building -------------------------------------------------------------------------------

    async def _build(self, tenant_id: str, resource: str, wanted: frozenset[tuple[str, ...]]) -> None:
        """Give every live record of the tenant its entries of what is being built, whoever began to build it."""
        of_resource = {"tenant_id": tenant_id, "resource": resource, "released_at": None, "state": BUILDING}
        building = [_key(document) async for document in self._registry.find(of_resource)]
        if not building:
            return
        await self._fence(tenant_id, resource)
        failpoint("target_keys.fenced")
        if await self._mongo.target.list_collection_names(filter={"name": resource}):
            await self._mongo.target[resource].create_indexes(list(INDEXES))
            await self._fill(tenant_id, resource, building, wanted)
        await self._registry.update_many(
            {"_id": {"$in": [key.id for key in building]}, **of_resource}, {"$set": {"state": ACTIVE}}
        )

    async def _fence(self, tenant_id: str, resource: str) -> None:
        """Let no transaction of a writer that began before the registration commit after this.

        Such a transaction changes the entry of its batch in the ledger: it has done so, then this waits until it has
        ended, or it comes upon this change, and is made anew with the registration in sight.
        """
        writing = {
            "tenant_id": tenant_id,
            "status": {"$in": list(_WRITING)},
            "template.target_resource": resource,
        }
        runs = self._mongo.state[RunDocument.Settings.name].find(writing, {"status": 1})
        async for run in runs:
            await self._mongo.state[BatchDocument.Settings.name].update_many(
                {"run_id": run["_id"], "state": _WRITING[run["status"]]}, {"$inc": {"fence": 1}}
            )

    async def _fill(
        self, tenant_id: str, resource: str, building: Sequence[TargetKey], wanted: frozenset[tuple[str, ...]]
    ) -> None:
        records = self._mongo.target[resource]
        unbroken: list[TargetKey] = []
        for key in building:
            if await _has_duplicates(records, tenant_id, key):
                await self._broken(tenant_id, resource, key, wanted)
            else:
                unbroken.append(key)
        await self.adopt(tenant_id, resource)
        for key in unbroken:
            lacking = _lacking(tenant_id, key)
            try:
                async for ids in _portions(records, lacking):
                    async for some, spelled in spellings(records, ids, [key]):
                        await _update_all(records, {"_id": {"$in": some}, **lacking}, with_entry(key, spelled))
                    failpoint("target_keys.filled_some")
            except DuplicateKeyError:
                await self._broken(tenant_id, resource, key, wanted)

    async def _broken(self, tenant_id: str, resource: str, key: TargetKey, wanted: frozenset[tuple[str, ...]]) -> None:
        """The records break a key: it goes; who asked for it besides is told when it looks for it."""
        await self.withdraw(tenant_id, resource, key)
        if key.names in wanted:
            raise KeysNotUniqueError(key.names)

    # --- releasing ------------------------------------------------------------------------------

    async def withdraw(self, tenant_id: str, resource: str, key: TargetKey, session: Session | None = None) -> None:
        """Let a key bind nobody any more, at once."""
        await self._registry.update_one(
            {"_id": key.id, "tenant_id": tenant_id, "resource": resource, "released_at": None},
            {"$currentDate": {"released_at": True}},
            session=session,
        )
        if session is None:
            await self.clear(tenant_id, resource, key)

    async def clear(self, tenant_id: str, resource: str, key: TargetKey) -> bool:
        """Take the entries of a released key from a bounded number of records; whether none is left."""
        records = self._mongo.target[resource]
        holders: Document = {KEYS: {"$elemMatch": {SCOPE: key.id}}, **_WITH_ENTRIES, "tenant_id": tenant_id}
        found = records.find(holders, {"_id": 1}, limit=RECORDS_AT_A_TIME, batch_size=RECORDS_AT_A_TIME)
        ids = [record["_id"] async for record in found]
        if ids:
            await _update_all(records, {"_id": {"$in": ids}}, forgetting([key]))
            failpoint("target_keys.cleared_some")
        if len(ids) == RECORDS_AT_A_TIME:
            return False
        await self._registry.delete_one({"_id": key.id, "released_at": {"$ne": None}})
        return True


def _key(document: Document) -> TargetKey:
    return TargetKey(document["_id"], tuple(document["names"]))


def _with_values(tenant_id: str, key: TargetKey) -> Document:
    """The filter of the tenant's live records that have the key."""
    values = {name: {"$type": KEY_TYPES, "$not": {"$type": "array"}} for name in key.names}
    return {"tenant_id": tenant_id, "is_deleted": False, **values}


def _lacking(tenant_id: str, key: TargetKey) -> Document:
    """The filter of those that do not carry its entry."""
    return {**_with_values(tenant_id, key), SCOPE_PATH: {"$ne": key.id}}


async def _has_duplicates(records: Collection, tenant_id: str, key: TargetKey) -> bool:
    same = {"$group": {"_id": [f"${name}" for name in key.names], "records": {"$sum": 1}}}
    pipeline = [{"$match": _with_values(tenant_id, key)}, same, {"$match": {"records": {"$gt": 1}}}, {"$limit": 1}]
    return bool(await (await records.aggregate(pipeline, allowDiskUse=True)).to_list())


async def _portions(records: Collection, conditions: Document) -> AsyncIterator[list[Any]]:
    """Ids of the records that meet ``conditions``, a bounded number at a time."""
    found = records.find(conditions, {"_id": 1}, batch_size=RECORDS_AT_A_TIME)
    while some := await found.to_list(RECORDS_AT_A_TIME):
        yield [record["_id"] for record in some]


async def _update_all(records: Collection, conditions: Document, update: list[Document]) -> None:
    """Give records entries, also those that break the rules of the collection's validator already."""
    try:
        await records.update_many(conditions, update)
    except WriteError as error:
        if error.code != DOCUMENT_VALIDATION:
            raise
        await records.update_many(conditions, update, bypass_document_validation=True)


async def _update_unless_taken(
    records: Collection, ids: Sequence[Any], conditions: Document, update: list[Document]
) -> list[Any]:
    """Update records; ids of those that are not, because another record has the same key.

    All at once where that is possible, else in halves: one refusal ends an update of many.
    """
    if not ids:
        return []
    try:
        await _update_all(records, {"_id": {"$in": list(ids)}, **conditions}, update)
    except DuplicateKeyError:
        if len(ids) == 1:
            return list(ids)
        half = len(ids) // 2
        taken = await _update_unless_taken(records, ids[:half], conditions, update)
        return [*taken, *await _update_unless_taken(records, ids[half:], conditions, update)]
    return []
