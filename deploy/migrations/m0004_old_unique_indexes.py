"""The unique indexes of release 0.1 go, which bound every tenant.

To be made when the last writer of that release has left, which is why provisioning does not make it unless it is told
so. Records that such a writer has made since ``m0003_target_keys`` have no entries of their keys, and those that it
changed may have old ones: they get them here first.
"""

import re

import structlog

from deploy.migrations.runner import Progress
from libs.contracts.record_keys import KEYS
from libs.storage.client import Collection, Document, Mongo
from libs.storage.documents import TargetKeyDocument
from libs.storage.key_entries import keys_pipeline
from libs.storage.target_keys import BUILDING, KEY_TYPES, KeysNotUniqueError, TargetKeys
from libs.telemetry.failpoints import failpoint

RECORDS_AT_A_TIME = 1_000

logger = structlog.get_logger()


async def migrate(mongo: Mongo, progress: Progress) -> None:
    """Complete the entries, by tenant and resource, then drop the indexes."""
    done = (progress.position or {}).get("after", ["", ""])
    registry = mongo.state[TargetKeyDocument.Settings.name]
    registered = registry.find({"released_at": None}, {"tenant_id": 1, "resource": 1})
    for tenant_id, resource in sorted({(key["tenant_id"], key["resource"]) async for key in registered}):
        if [tenant_id, resource] > done:
            changed = await _complete(mongo, tenant_id, resource)
            await progress.note(changed, {"after": [tenant_id, resource]})
    for name in sorted(await mongo.target.list_collection_names(filter={"type": "collection"})):
        if not name.startswith("system."):
            await _drop(mongo.target[name], progress)


async def _complete(mongo: Mongo, tenant_id: str, resource: str) -> int:
    """Give the tenant's live records the entries that their fields have now; how many had wrong ones."""
    registry = TargetKeys(mongo)
    keys = await registry.of(tenant_id, resource)
    records = mongo.target[resource]
    entries = {"$ifNull": [f"${KEYS}", []]}
    right = {"$filter": {"input": entries, "cond": {"$in": ["$$this", keys_pipeline(keys)[0]["$set"][KEYS]]}}}
    bound = {"$filter": {"input": entries, "cond": {"$in": ["$$this.s", [key.id for key in keys]]}}}
    wrong: Document = {
        "tenant_id": tenant_id,
        "is_deleted": False,
        f"{KEYS}.0": {"$exists": True},
        "$expr": {"$ne": [{"$size": right}, {"$size": bound}]},
    }
    # All of these first: one record may have now what another had before.
    changed = 0
    found = records.find(wrong, {"_id": 1}, batch_size=RECORDS_AT_A_TIME)
    while some := await found.to_list(RECORDS_AT_A_TIME):
        ids = [record["_id"] for record in some]
        changed += (await records.update_many({"_id": {"$in": ids}, **wrong}, [{"$set": {KEYS: right}}])).modified_count
    failpoint("migration.entries_removed_before_made")
    await mongo.state[TargetKeyDocument.Settings.name].update_many(
        {"_id": {"$in": [key.id for key in keys]}}, {"$set": {"state": BUILDING}}
    )
    for key in keys:
        try:
            await registry.register(tenant_id, resource, [key.names])
        except KeysNotUniqueError:
            logger.warning("migration.not_unique", tenant_id=tenant_id, resource=resource, fields=key.names)
    return changed


async def _drop(records: Collection, progress: Progress) -> None:
    """Drop the indexes that release 0.1 made for templates, and none that only have a name of theirs."""
    for name, index in (await records.index_information()).items():
        fields = [field for field, _ in index["key"][1:]]
        made = (
            _NAME.fullmatch(name) is not None
            and index["key"][0] == ("tenant_id", 1)
            and index.get("unique", False)
            and index.get("partialFilterExpression")
            == {"is_deleted": False, **{field: {"$type": KEY_TYPES} for field in fields}}
        )
        if made:
            await records.drop_index(name)
            await progress.note(1, progress.position)


_NAME = re.compile(r"upsert_\w+|unique_\w+(\+\w+)+")
