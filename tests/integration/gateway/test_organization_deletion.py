"""An organization is deleted with everything it has, whatever dies on the way; no other loses anything."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from beanie import Document
from bson import ObjectId

from libs.contracts.ids import event_id, rejected_id
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.documents import (
    DOCUMENTS,
    BrandingDocument,
    ClerkMessage,
    ClerkTombstone,
    DeadLetter,
    ObserverDocument,
    OutboxEntry,
    ProcessDocument,
    RequestCount,
    RunRequest,
    User,
)
from libs.storage.documents import Organization as OrganizationDocument
from libs.storage.files import FileStore
from libs.storage.settings import MongoSettings
from services.gateway.access.principal import Principal
from services.gateway.errors import ConflictError
from services.gateway.retention.organizations import OrganizationDeletion
from services.gateway.stores.dead_letters import DeadLetterStore
from services.gateway.stores.organizations import OrganizationStore
from services.gateway.stores.usage import UsageStore
from services.gateway.uploads.quotas import QuotaKeeper, RunQuotas
from tests.integration.gateway.conftest import Organization, new_app
from tests.integration.gateway.steps import PRODUCER, create_template, eventually, upload, validate
from tests.integration.ledger.runs import new_run

pytestmark = pytest.mark.servers

NewOrganization = Callable[[], Awaitable[Organization]]
LONGEST_UPLOAD = timedelta(hours=1)
OF_THE_TENANT = (
    "api_keys", "templates", "runs", "batches", "rejected_records", "webhook_endpoints", "webhook_deliveries",
    "request_producers",
)  # fmt: skip


def deletion(mongo: Mongo, ledger: Ledger, longest_upload: timedelta = LONGEST_UPLOAD) -> OrganizationDeletion:
    letters = DeadLetterStore(mongo)
    return OrganizationDeletion(OrganizationStore(mongo), letters, ledger, FileStore(mongo), longest_upload)


async def furnished(mongo: Mongo, ledger: Ledger, organization: Organization, resource: str) -> list[str]:
    """Give an organization something of everything; ids of its runs: pending, validated, completed."""
    template = await create_template(
        organization.http, target_resource=resource, webhook_url="https://example.com/hook"
    )
    runs = [(await upload(organization.http, template["id"])).json()["id"] for _ in range(3)]
    for run_id in runs[1:]:
        await validate(ledger, run_id)
    assert (await organization.http.post(f"/imports/runs/{runs[2]}/execute")).is_success
    await ledger.maybe_advance(runs[2])
    assert (await organization.http.post("/api/v1/request-producers", json=PRODUCER)).is_success
    now, tenant = datetime.now(UTC), organization.id
    for run_id in runs:
        row = {
            "_id": rejected_id(run_id, 1),
            "tenant_id": tenant,
            "run_id": run_id,
            "row": 1,
            "errors": [],
            "cells": [],
        }
        await mongo.state["rejected_records"].insert_one(row)
        await mongo.state["undo"].insert_one({"_id": f"{run_id}:1", "run_id": run_id})
        delivery = {"_id": event_id(run_id), "tenant_id": tenant, "run_id": run_id, "state": "pending"}
        await mongo.state["webhook_deliveries"].insert_one(delivery)
    await mongo.state["dead_letters"].insert_many(
        [
            {"_id": event_id(tenant, where), "key": None, "value": None, "headers": [], "created_at": now, **message}
            for where, message in (
                ("key", {"key": f"{runs[0]}:7".encode()}),
                ("value", {"value": json.dumps({"run_id": runs[1], "x": "é"}).encode()}),
                ("tenant", {"value": b"\xff" + tenant.encode()}),
                ("header", {"headers": [{"name": "trace", "value": runs[2].encode()}]}),
            )
        ]
    )
    records = [{"tenant_id": tenant, "sku": f"S{n}", "_import": {"run_id": runs[2], "row": n}} for n in range(2_500)]
    await mongo.target[resource].insert_many(records)
    await mongo.target[f"{resource}_of_an_earlier_template"].insert_one(records[0] | {"_id": ObjectId()})
    return runs


async def has(mongo: Mongo, organization: Organization, runs: list[str], resource: str) -> dict[str, int]:
    """How much of everything an organization has."""
    tenant = organization.id
    counts = {name: await mongo.state[name].count_documents({"tenant_id": tenant}) for name in OF_THE_TENANT}
    counts["organizations"] = await mongo.state["organizations"].count_documents({"_id": tenant})
    counts["undo"] = await mongo.state["undo"].count_documents({"run_id": {"$in": runs}})
    counts["files"] = await mongo.state["files.files"].count_documents({"metadata.tenant_id": tenant})
    of_runs = {"files_id": {"$in": [ObjectId(run_id) for run_id in runs]}}
    counts["chunks"] = await mongo.state["files.chunks"].count_documents(of_runs)
    letters = [event_id(tenant, where) for where in ("key", "value", "tenant", "header")]
    counts["dead_letters"] = await mongo.state["dead_letters"].count_documents({"_id": {"$in": letters}})
    for name in (resource, f"{resource}_of_an_earlier_template"):
        counts[name] = await mongo.target[name].count_documents({"tenant_id": tenant})
    return {name: count for name, count in counts.items() if count}


async def test_everything_goes_and_nothing_of_others(
    mongo: Mongo, ledger: Ledger, new_organization: NewOrganization
) -> None:
    acme, other = await new_organization(), await new_organization()
    runs = await furnished(mongo, ledger, acme, "acme_things")
    theirs = await furnished(mongo, ledger, other, "other_things")
    await mongo.target["acme_things"].insert_one({"tenant_id": acme.id, "of": "another application"})
    shared = [{"tenant_id": one.id, "_import": {"run_id": "r", "row": 1}} for one in (acme, other)]
    await mongo.target["shared"].insert_many(shared)
    before = await has(mongo, other, theirs, "other_things")

    deleting = deletion(mongo, ledger)
    leaving = await deleting.request(acme.id)
    assert (await acme.http.get("/imports/runs")).status_code in {200, 401}  # a key is remembered for some seconds
    removed = await deleting.carry_out(leaving)
    assert (removed.runs, removed.records, removed.dead_letters, removed.finished) == (3, 2_502, 4, False)
    # Its keys, revoked, and itself stay until no upload can be under way.
    left = await has(mongo, acme, runs, "acme_things")
    assert left == {"organizations": 1, "api_keys": 1, "acme_things": 1}
    assert await mongo.state["api_keys"].count_documents({"tenant_id": acme.id, "revoked_at": None}) == 0
    assert await mongo.target["shared"].count_documents({}) == 1
    assert await has(mongo, other, theirs, "other_things") == before

    over = await deletion(mongo, ledger, timedelta(0)).carry_out(await deleting.request(acme.id))
    assert over.finished
    assert await has(mongo, acme, runs, "acme_things") == {"acme_things": 1}
    assert acme.id not in {leaving.id for leaving in await OrganizationStore(mongo).leaving()}
    assert await has(mongo, other, theirs, "other_things") == before


# --- everything, by the models ------------------------------------------------------------------

OF_NO_ORGANIZATION = {
    DeadLetter: "known by the ids in its message, see furnished()",
    OutboxEntry: "goes once Kafka has it",
    RequestCount: "goes an hour after the last request",
    BrandingDocument: "its _id is the organization's, see below",
    OrganizationDocument: "the organization itself",
    User: "a person, of as many organizations as Clerk says",
    ClerkMessage: "an id of Clerk's",
    ClerkTombstone: "keeps what was deleted at Clerk from coming again",
    ObserverDocument: "of the installation",
    ProcessDocument: "of the installation",
}
"""Collections whose documents name no organization and no run; a new one has to be thought about."""
_NAMES_ORGANIZATION = re.compile(r"(^|_)(tenant|organization)_id$")


def naming_organization(kind: type[Document]) -> list[str]:
    return [name for name in kind.model_fields if _NAMES_ORGANIZATION.search(name)]


def belongs_to_run(kind: type[Document]) -> bool:
    return "run_id" in kind.model_fields or issubclass(kind, RunRequest)


def test_every_collection_says_whose_its_documents_are() -> None:
    silent = {kind for kind in DOCUMENTS if not naming_organization(kind) and not belongs_to_run(kind)}
    assert silent == OF_NO_ORGANIZATION.keys()


# --- nothing new comes ------------------------------------------------------------------------------


async def test_an_upload_that_began_before_is_refused_at_its_end(
    mongo: Mongo, ledger: Ledger, new_organization: NewOrganization
) -> None:
    acme = await new_organization()
    keeper = QuotaKeeper(UsageStore(mongo), RunQuotas())
    principal = Principal(acme.id, "test", "key")
    assert await keeper.obstacle(principal, 1) is None
    await deletion(mongo, ledger).request(acme.id)

    async def refused() -> bool:
        obstacle = await keeper.obstacle(principal, 1)
        return isinstance(obstacle, ConflictError) and obstacle.code == "ORGANIZATION_SUSPENDED"

    await eventually(refused)


async def test_records_may_be_kept(mongo: Mongo, ledger: Ledger, new_organization: NewOrganization) -> None:
    acme = await new_organization()
    runs = await furnished(mongo, ledger, acme, "kept_things")
    deleting = deletion(mongo, ledger, timedelta(0))
    removed = await deleting.carry_out(await deleting.request(acme.id, keep_records=True))
    assert removed.records == 0
    # Said once, it holds, whoever goes on.
    await deleting.carry_out(await deleting.request(acme.id))
    assert await has(mongo, acme, runs, "kept_things") == {
        "kept_things": 2_500, "kept_things_of_an_earlier_template": 1,
    }  # fmt: skip


async def late_upload(mongo: Mongo, ledger: Ledger, organization: Organization, resource: str) -> str:
    """An upload that was under way when the keys were revoked: its run, and a record that it has written already."""
    stored = await FileStore(mongo).store("late.csv", rows(), tenant_id=organization.id, max_bytes=100)
    run = new_run(target_resource=resource)
    await ledger.runs.submit(run.model_copy(update={"id": stored.id, "file": stored, "tenant_id": organization.id}))
    record = {"tenant_id": organization.id, "_import": {"run_id": stored.id, "row": 1}}
    await mongo.target[resource].insert_one(record)
    return stored.id


async def rows() -> AsyncIterator[bytes]:
    yield b"sku\nA1\n"


async def test_an_upload_that_ends_late_is_removed_too(
    mongo: Mongo, ledger: Ledger, new_organization: NewOrganization
) -> None:
    acme = await new_organization()
    deleting = deletion(mongo, ledger)
    await deleting.carry_out(await deleting.request(acme.id))
    late = await late_upload(mongo, ledger, acme, "late_things")
    await deleting.sweep()
    assert await has(mongo, acme, [late], "late_things") == {"organizations": 1, "api_keys": 1}
    # One that shows only when the time is over keeps the organization once more.
    later = await late_upload(mongo, ledger, acme, "late_things")
    await deletion(mongo, ledger, timedelta(0)).sweep()
    assert await has(mongo, acme, [late, later], "late_things") == {"organizations": 1, "api_keys": 1}
    await deletion(mongo, ledger, timedelta(0)).sweep()
    assert await has(mongo, acme, [late, later], "late_things") == {}


# --- the command ------------------------------------------------------------------------------------


async def command(settings: MongoSettings, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway.delete_organization", *arguments,
        env={
            **os.environ,
            "ROWDOCK_MONGODB": settings.mongodb.get_secret_value(),
            "ROWDOCK_DATABASE": settings.database,
            "ROWDOCK_TARGET_DATABASE": settings.target_database,
            **environment,
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


POINTS = [
    "retention.keys_revoked",
    "ledger.batches_closed_before_stop",
    "ledger.run_marked_before_removed",
    "ledger.parts_purged_before_run:kill:2",
    "retention.runs_removed",
    "retention.records_removed",
]


@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_command_is_finished_by_the_gateway(
    mongo: Mongo,
    mongo_settings: MongoSettings,
    ledger: Ledger,
    new_organization: NewOrganization,
    point: str,
) -> None:
    acme = await new_organization()
    resource = f"killed_{ObjectId()}"
    runs = await furnished(mongo, ledger, acme, resource)
    killed = point if ":" in point else f"{point}:kill"
    code, printed, _ = await command(mongo_settings, acme.id, "--yes", FAILPOINT=killed)
    assert (code, printed) == (-signal.SIGKILL, "")
    assert await mongo.state["organizations"].find_one({"_id": acme.id}) is not None
    await deletion(mongo, ledger).sweep()
    assert await has(mongo, acme, runs, resource) == {"organizations": 1, "api_keys": 1}
    await deletion(mongo, ledger, timedelta(0)).sweep()
    assert await has(mongo, acme, runs, resource) == {}


async def test_the_command_says_what_it_did(
    mongo: Mongo, mongo_settings: MongoSettings, ledger: Ledger, new_organization: NewOrganization
) -> None:
    acme = await new_organization()
    await furnished(mongo, ledger, acme, "commanded")
    code, _, told = await command(mongo_settings, acme.id)
    assert code == 2
    assert "--yes" in told
    assert await mongo.state["organizations"].count_documents({"_id": acme.id, "deletion": None}) == 1
    code, printed, _ = await command(mongo_settings, acme.id, "--yes")
    assert code == 0
    done: dict[str, Any] = json.loads(printed)
    assert (done["runs"], done["records"], done["finished"]) == (3, 2_501, False)
    code, printed, _ = await command(mongo_settings, acme.id, "--yes", ROWDOCK_ORPHAN_AFTER_SECONDS="0.001")
    assert (code, json.loads(printed)["finished"]) == (0, True)
    code, _, told = await command(mongo_settings, acme.id, "--yes")
    assert code == 1
    assert f"there is no organization '{acme.id}'" in told


@pytest.mark.usefixtures("rebound")
async def test_the_gateway_goes_on_by_itself(
    mongo: Mongo, mongo_settings: MongoSettings, ledger: Ledger, new_organization: NewOrganization
) -> None:
    acme = await new_organization()
    runs = await furnished(mongo, ledger, acme, "left_to_the_gateway")
    await command(mongo_settings, acme.id, "--yes", FAILPOINT="retention.keys_revoked:kill")

    async def gone() -> bool:
        return await has(mongo, acme, runs, "left_to_the_gateway") == {"organizations": 1, "api_keys": 1}

    async with new_app(mongo_settings, retention_sweep_seconds=0.1).lifespan():
        await eventually(gone)
