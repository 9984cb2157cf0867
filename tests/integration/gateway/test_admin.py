"""The operators' command line, and what it lets them do."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from litestar import Litestar

from libs.contracts.plans import Plan
from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from services.gateway.access.administration import Administration
from services.gateway.access.clerk_organizations import ClerkOrganizations
from services.gateway.access.plans import plan_of
from services.gateway.errors import ConflictError, NotFoundError
from tests.integration.gateway.conftest import SECRET_KEY, Organization


async def run_admin(settings: MongoSettings, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway.admin", *arguments,
        env={
            **os.environ,
            "ROWDOCK_MONGODB": settings.mongodb.get_secret_value(),
            "ROWDOCK_DATABASE": settings.database,
            "ROWDOCK_SECRET_KEY": SECRET_KEY,
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    return process.returncode or 0, [json.loads(line) for line in out.decode().splitlines()], errors.decode()


async def test_from_an_organization_to_a_key_that_works_and_one_that_does_not(
    app: Litestar, mongo_settings: MongoSettings
) -> None:
    code, [made], _ = await run_admin(mongo_settings, "organizations", "create", "Admin & Co", "--plan", "starter")
    assert code == 0
    tenant_id = made["organization_id"]
    wanted = ("keys", "create", tenant_id, "nightly", "--scope", "read", "--reads", "1", "--days", "2")
    code, [key], _ = await run_admin(mongo_settings, *wanted)
    assert (code, key["scopes"], key["rate_limits"]) == (0, ["read"], {"reads": 1, "writes": None})
    transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType] - Litestar's own ASGI types
    headers = {"Authorization": f"Bearer {key['api_key']}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as http:
        assert [(await http.get("/imports/runs")).status_code for _ in range(2)] == [200, 429]
        code, [revoked], _ = await run_admin(mongo_settings, "keys", "revoke", tenant_id, key["id"])
        assert (code, revoked["revoked_at"] is None) == (0, False)
        assert (await http.post("/imports/runs")).status_code in {401, 405}
        assert (await http.head("/imports/templates/x")).status_code in {401, 429}
    code, listed, _ = await run_admin(mongo_settings, "keys", "list", tenant_id)
    assert [each["name"] for each in listed] == ["nightly", "first"]
    assert not any("digest" in each or "api_key" in each for each in listed)
    code, printed, said = await run_admin(mongo_settings, "organizations", "show", "0" * 24)
    assert (code, printed) == (1, [])
    assert "there is no organization" in said


async def test_an_organization_that_goes_gets_nothing_more(
    mongo_settings: MongoSettings, mongo: Mongo, acme: Organization
) -> None:
    going = {"$set": {"deletion": {"requested_at": datetime.now(UTC)}}}
    await mongo.state["organizations"].update_one({"_id": acme.id}, going)
    code, printed, said = await run_admin(mongo_settings, "webhooks", "create", acme.id, "https://example.com/hook")
    assert (code, printed) == (1, [])
    assert "is being deleted" in said
    assert await mongo.state["webhook_endpoints"].count_documents({"tenant_id": acme.id}) == 0


async def test_an_organization_gets_another_plan(acme: Organization, mongo: Mongo) -> None:
    administration = Administration(mongo)
    assert await plan_of(mongo, acme.id) is Plan.FREE
    assert (await administration.put_in_plan(acme.id, Plan.STARTER)).plan == "starter"
    assert await plan_of(mongo, acme.id) is Plan.STARTER
    assert acme.id in [each.id async for each in administration.organizations()]
    with pytest.raises(NotFoundError):
        await administration.put_in_plan("0" * 24, Plan.STARTER)


async def test_an_organization_is_joined_with_one_of_clerks_and_parted_again(
    acme: Organization, mongo: Mongo, new_organization: Callable[[], Awaitable[Organization]]
) -> None:
    administration, clerks, clerk_id = Administration(mongo), ClerkOrganizations(mongo), f"org_{acme.id}"
    with pytest.raises(NotFoundError, match="NOT_LINKED"):
        [_ async for _ in administration.members(acme.id)]
    await administration.link(acme.id, clerk_id)
    assert await clerks.tenant(clerk_id) == acme.id
    other = await new_organization()
    with pytest.raises(ConflictError, match=acme.id):
        await administration.link(other.id, clerk_id)

    now = datetime.now(UTC)
    await mongo.state["users"].insert_one(
        {"_id": f"u{acme.id}", "name": "Ada", "email": "a@b.example", "changed_at": now}
    )
    for number, gone in enumerate((None, now)):
        await mongo.state["memberships"].insert_one(
            {
                "_id": f"m{number}{acme.id}", "clerk_organization_id": clerk_id, "user_id": f"u{acme.id}",
                "role": "admin", "changed_at": now, "deleted_at": gone,
            }
        )  # fmt: skip
    members = [each async for each in administration.members(acme.id)]
    assert members == [{"user_id": f"u{acme.id}", "role": "admin", "name": "Ada", "email": "a@b.example"}]

    await mongo.state["organizations"].update_one({"_id": acme.id}, {"$set": {"suspended_at": now}})
    free = await administration.unlink(acme.id)
    assert (free.clerk_id, free.suspended_at) == (None, None)
    await administration.link(other.id, clerk_id)
