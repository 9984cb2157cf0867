"""What operators do with webhooks on their command line."""

import asyncio
from datetime import UTC, datetime, timedelta

from cryptography.fernet import Fernet

from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from tests.integration.gateway.conftest import SECRET_KEY, Organization
from tests.integration.gateway.steps import create_template
from tests.integration.gateway.test_admin import run_admin
from tests.integration.gateway.test_webhook_endpoints import ENDPOINTS, GIVEN, URL, delivery, stored


async def test_an_endpoint_is_made_and_its_secret_replaced(
    mongo_settings: MongoSettings, mongo: Mongo, acme: Organization
) -> None:
    wanted = ("--event", "import.completed", "--template", "tpl_" + "1" * 24, "--description", "warehouse")
    code, [made], _ = await run_admin(mongo_settings, "webhooks", "create", acme.id, URL, *wanted)
    assert (code, made["event_types"], made["template_ids"]) == (0, ["import.completed"], ["1" * 24])
    shown = (await acme.http.get(f"{ENDPOINTS}/{made['id']}")).json()
    assert (shown["url"], shown["description"], shown["status"]) == (URL, "warehouse", "active")

    async def live() -> list[str]:
        kept = await stored(mongo, made["id"])
        cipher = Fernet(SECRET_KEY)
        return [cipher.decrypt(kept[name]).decode() for name in ("encrypted_secret", "previous_secret") if kept[name]]

    assert await live() == [made["secret"]]
    rotating = ("webhooks", "rotate", acme.id, made["id"])
    code, [rotated], _ = await run_admin(mongo_settings, *rotating, "--overlap", "60", "--secret", GIVEN)
    assert (code, rotated["secret"]) == (0, GIVEN)
    assert await live() == [GIVEN, made["secret"]]
    left = (await stored(mongo, made["id"]))["previous_until"] - datetime.now(UTC)
    assert left <= timedelta(seconds=60)

    (code, listed, _), refused, stranger = await asyncio.gather(
        run_admin(mongo_settings, "webhooks", "list", acme.id),
        run_admin(mongo_settings, "webhooks", "create", acme.id, "https://127.0.0.1/"),
        run_admin(mongo_settings, "webhooks", "rotate", acme.id, "0" * 24),
    )
    assert (code, [each["id"] for each in listed]) == (0, [made["id"]])
    assert not any("secret" in name and name != "previous_secret_until" for each in listed for name in each)
    assert (refused[:2], "loopback" in refused[2]) == ((1, []), True)
    assert (stranger[:2], "there is no webhook endpoint" in stranger[2]) == ((1, []), True)


async def test_what_was_sent_is_shown_and_sent_again(
    mongo_settings: MongoSettings, mongo: Mongo, acme: Organization
) -> None:
    template = await create_template(acme.http, webhook_url=URL)
    [endpoint] = (await acme.http.get(ENDPOINTS)).json()["data"]
    assert endpoint["template_id"] == template["id"]
    failed = await delivery(mongo, acme.id, endpoint["id"], "failed", 60)
    again = await delivery(mongo, acme.id, endpoint["id"], "failed", 30)
    delivered = await delivery(mongo, acme.id, endpoint["id"], "delivered", 20)
    off = {"enabled": False, "disabled_at": datetime.now(UTC), "disabled_reason": "every attempt has failed"}
    await mongo.state["webhook_endpoints"].update_one({"_id": endpoint["id"]}, {"$set": off})

    here = (acme.id, endpoint["id"])
    code, printed, said = await run_admin(mongo_settings, "webhooks", "test", *here)
    assert (code, printed) == (1, [])
    assert "every attempt has failed" in said
    code, [enabled], _ = await run_admin(mongo_settings, "webhooks", "enable", *here)
    assert (code, enabled["enabled"], enabled["disabled_reason"]) == (0, True, None)

    (_, [tried], _), (_, failures, _), (_, [shown], _), (_, [resent], _) = await asyncio.gather(
        run_admin(mongo_settings, "webhooks", "test", *here),
        run_admin(mongo_settings, "webhooks", "deliveries", *here, "--status", "delivered"),
        run_admin(mongo_settings, "webhooks", "show", acme.id, delivered),
        run_admin(mongo_settings, "webhooks", "resend", acme.id, failed),
    )
    assert (tried["event_type"], tried["state"]) == ("webhook.test", "pending")
    assert [each["id"] for each in failures] == [delivered]
    assert [each["status_code"] for each in shown["attempts"]] == [500]
    assert (resent["id"], resent["state"]) == (failed, "pending")

    since = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    code, [replayed], _ = await run_admin(mongo_settings, "webhooks", "replay", *here, since)
    assert (code, replayed["deliveries"]) == (0, 1)
    states = {each["_id"]: each["state"] async for each in mongo.state["webhook_deliveries"].find({})}
    assert [states[each] for each in (failed, again, delivered)] == ["pending", "pending", "delivered"]
    code, [replayed], _ = await run_admin(mongo_settings, "webhooks", "replay", *here, since, "--delivered")
    assert (code, replayed["deliveries"]) == (0, 1)
