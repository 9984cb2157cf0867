"""Bootstrap."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime

from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from services.gateway.access.callers import Callers
from services.gateway.access.plans import PlanRates
from services.gateway.access.rates import Kind
from tests.integration.gateway.conftest import Organization


async def run_bootstrap(settings: MongoSettings, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway.bootstrap", *arguments,
        env={
            **os.environ,
            "ROWDOCK_MONGODB": settings.mongodb.get_secret_value(),
            "ROWDOCK_DATABASE": settings.database,
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()


async def test_bootstrap_prints_one_line_and_knows_a_known_key(mongo: Mongo, mongo_settings: MongoSettings) -> None:
    code, printed, _ = await run_bootstrap(mongo_settings, "--organization", "Böotstrap")
    assert code == 0
    assert printed.count("\n") == 1
    made = json.loads(printed)
    called = await Callers(mongo, PlanRates(mongo)).by_key(made["api_key"], Kind.READS)
    assert called is not None
    assert called.principal.tenant_id == made["organization_id"]
    code, printed, _ = await run_bootstrap(mongo_settings, "--organization", "Other", "--api-key", made["api_key"])
    assert (code, json.loads(printed)) == (0, made)
    assert (await run_bootstrap(mongo_settings, "--organization", "X", "--api-key", "short"))[0] == 2


async def test_bootstrap_says_what_the_organization_may_have(mongo: Mongo, mongo_settings: MongoSettings) -> None:
    async def stored_plan(*arguments: str) -> str:
        code, printed, said = await run_bootstrap(mongo_settings, "--organization", "Planned", *arguments)
        assert code == 0, said
        stored = await mongo.state["organizations"].find_one({"_id": json.loads(printed)["organization_id"]})
        assert stored is not None
        return stored["plan"]

    assert await stored_plan() == "free"
    assert await stored_plan("--plan", "starter") == "starter"
    assert (await run_bootstrap(mongo_settings, "--organization", "X", "--plan", "gold"))[0] == 2


async def test_bootstrap_does_not_revive_a_revoked_key(
    acme: Organization, mongo: Mongo, mongo_settings: MongoSettings
) -> None:
    revoked = {"revoked_at": datetime(2026, 3, 4, tzinfo=UTC)}
    await mongo.state["api_keys"].update_one({"tenant_id": acme.id}, {"$set": revoked})
    organizations = await mongo.state["organizations"].count_documents({})
    code, printed, said = await run_bootstrap(mongo_settings, "--organization", "Acme", "--api-key", acme.key)
    assert (code, printed) == (1, "")
    assert "revoked on 2026-03-04" in said
    assert acme.key not in said
    stored = await mongo.state["api_keys"].find_one({"tenant_id": acme.id})
    assert stored is not None
    assert stored["revoked_at"] == revoked["revoked_at"]
    assert await mongo.state["organizations"].count_documents({}) == organizations
