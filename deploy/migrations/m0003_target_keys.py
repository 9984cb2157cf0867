"""Keys of the target bind the records of one tenant, by entries in its records under one index.

Release 0.1 had a unique index for each combination of fields instead, which bound every tenant. What its templates and
its unfinished runs ask for is registered, and the records get their entries. The indexes of release 0.1 stay: its
writers, still at work, know nothing else. ``m0004_old_unique_indexes`` ends that.
"""

import structlog
from pydantic import ValidationError
from pymongo.errors import OperationFailure

from deploy.migrations.runner import Progress
from libs.contracts.states import ACTIVE_RUN_STATUSES
from libs.contracts.templates import Template, asked_keys
from libs.storage.client import Document, Mongo
from libs.storage.documents import RunDocument, TargetKeyDocument, TargetResource, TemplateDocument
from libs.storage.mongo_errors import is_transient
from libs.storage.target_keys import KeysNotUniqueError, TargetKeys
from libs.telemetry.failpoints import failpoint

logger = structlog.get_logger()


async def migrate(mongo: Mongo, progress: Progress) -> None:
    """Go through what tenants ask of their resources, by tenant and resource."""
    # Provisioning makes indexes after the migrations.
    for kind in (TargetKeyDocument, TargetResource):
        await mongo.state[kind.Settings.name].create_indexes(list(kind.Settings.indexes))
    done = (progress.position or {}).get("after", ["", ""])
    for (tenant_id, resource), wanted in sorted((await _asked(mongo)).items()):
        if [tenant_id, resource] > done:
            await _count_resource(mongo, tenant_id, resource)
            for names in sorted(wanted):
                await _register(mongo, tenant_id, resource, names)
            failpoint("migration.registered_before_noted")
            await progress.note(len(wanted), {"after": [tenant_id, resource]})


async def _asked(mongo: Mongo) -> dict[tuple[str, str], set[tuple[str, ...]]]:
    """The combinations of fields that are asked for, by tenant and resource."""
    asked: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    parts = {"tenant_id": 1, "template": 1}
    unfinished: Document = {"status": {"$in": [status.value for status in ACTIVE_RUN_STATUSES]}}
    for kind, conditions in ((TemplateDocument, {"deleted_at": None}), (RunDocument, unfinished)):
        async for document in mongo.state[kind.Settings.name].find(conditions, parts):
            try:
                template = Template.model_validate(document["template"])
            except ValidationError:
                logger.warning("migration.unreadable", collection=kind.Settings.name, id=document["_id"])
                continue
            keys = asked.setdefault((document["tenant_id"], template.target_resource), set())
            keys.update(key.names for key in asked_keys(template))
    return asked


async def _count_resource(mongo: Mongo, tenant_id: str, resource: str) -> None:
    await mongo.state[TargetResource.Settings.name].update_one(
        {"_id": f"{tenant_id}:{resource}"},
        [{"$set": {"tenant_id": tenant_id, "resource": resource, "created_at": "$$NOW", "asked_at": "$$NOW"}}],
        upsert=True,
    )


async def _register(mongo: Mongo, tenant_id: str, resource: str, names: tuple[str, ...]) -> None:
    """Register a key; one that cannot be is told of, and by the runs that ask for it."""
    try:
        await TargetKeys(mongo).register(tenant_id, resource, [names])
    except (KeysNotUniqueError, OperationFailure) as error:
        if is_transient(error):
            raise
        logger.warning("migration.not_registered", tenant_id=tenant_id, resource=resource, fields=names)
