"""Messages that nobody could handle: operators list them, look at them, replay and discard them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from litestar import Litestar

from libs.contracts.errors import TransientError
from libs.contracts.topics import BATCH_READY
from libs.storage.client import Document, Mongo
from libs.storage.settings import MongoSettings
from libs.telemetry import failpoints
from services.gateway.dead_letters.office import DeadLetterOffice
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.steps import assert_error
from tests.integration.gateway.test_admin import run_admin
from tests.integration.gateway.test_api_keys import caller

LETTERS = "/api/v1/dead-letters"
Published = list[tuple[str, bytes | None, bytes, dict[str, str]]]


async def letter(mongo: Mongo, **changes: object) -> str:
    identifier = uuid4().hex
    document: Document = {
        "_id": identifier,
        "service": "writer",
        "topic": BATCH_READY.name,
        "partition": 3,
        "offset": 7,
        "key": b"run:0",
        "value": b'{"event_id": "\xc3\xa9"}',
        "headers": [{"name": "event-id", "value": b"e1"}],
        "code": "UNDECODABLE",
        "message": "seq: Field required",
        "created_at": datetime.now(UTC),
        **changes,
    }
    await mongo.state["dead_letters"].insert_one(document)
    return identifier


@pytest.fixture
async def operator(
    app: Litestar, acme: Organization, mongo: Mongo, mongo_settings: MongoSettings
) -> AsyncIterator[httpx.AsyncClient]:
    await mongo.state["dead_letters"].delete_many({})
    code, [key], error = await run_admin(mongo_settings, "keys", "create", acme.id, "ops", "--scope", "operator")
    assert code == 0, error
    async with caller(app, key["api_key"]) as http:
        yield http


async def test_only_operators_see_them_and_no_organization_can_make_one(
    acme: Organization, operator: httpx.AsyncClient, mongo: Mongo
) -> None:
    known = await letter(mongo)
    for path in ("", f"/{known}", f"/{known}/replay", f"/{known}/discard"):
        method = "POST" if path.count("/") == 2 else "GET"
        # The key of the organization has no scopes stored, which means all that organizations may do.
        assert "'operator'" in assert_error(await acme.http.request(method, LETTERS + path), 403, "FORBIDDEN")["detail"]
    refused = await acme.http.post("/api/v1/api-keys", json={"name": "more", "scopes": ["operator"]})
    assert_error(refused, 422, "INVALID_REQUEST", "body.scopes")
    assert_error(await operator.get("/imports/runs"), 403, "FORBIDDEN")
    assert (await operator.get(LETTERS)).status_code == 200


async def test_listed_in_pages_and_shown_as_they_came(operator: httpx.AsyncClient, mongo: Mongo) -> None:
    now = datetime.now(UTC)
    ids = [await letter(mongo, created_at=now - timedelta(seconds=age)) for age in range(5)]
    other = await letter(mongo, created_at=now - timedelta(seconds=9), topic="imports.old.v1", value=b"\xff\x00")
    found: list[str] = []
    after = ""
    while True:
        page = (await operator.get(f"{LETTERS}?limit=2{after}")).json()
        found += [each["id"] for each in page["data"]]
        if page["next_after"] is None:
            break
        after = f"&after={page['next_after']}"
    assert found == [*ids, other]
    [only] = (await operator.get(f"{LETTERS}?topic=imports.old.v1&status=waiting")).json()["data"]
    assert (only["id"], only["code"], only["message"]) == (other, "UNDECODABLE", "seq: Field required")
    whole = (await operator.get(f"{LETTERS}/{ids[0]}")).json()
    assert whole["value"] == {"text": '{"event_id": "é"}', "base64": None, "bytes": 18}
    assert whole["headers"]["event-id"]["text"] == "e1"
    binary = (await operator.get(f"{LETTERS}/{other}")).json()
    assert binary["value"] == {"text": None, "base64": "/wA=", "bytes": 2}
    assert_error(await operator.get(f"{LETTERS}/{'0' * 32}"), 404, "DEAD_LETTER_NOT_FOUND")


async def test_replayed_as_it_came(operator: httpx.AsyncClient, mongo: Mongo) -> None:
    known = await letter(mongo)
    wanted = await operator.post(f"{LETTERS}/{known}/replay")
    assert (wanted.status_code, wanted.json()["status"], wanted.json()["decided_by"]) == (202, "replaying", "key:ops")
    assert_error(await operator.post(f"{LETTERS}/{known}/replay"), 409, "ALREADY_DECIDED")
    published: Published = []

    async def publish(*message: Any) -> None:  # noqa: ANN401
        published.append(message)

    await DeadLetterOffice(mongo).publish_wanted(publish)
    await DeadLetterOffice(mongo).publish_wanted(publish)
    headers = {"event-id": "e1", "rowdock-dead-letter": known}
    assert published == [(BATCH_READY.name, b"run:0", b'{"event_id": "\xc3\xa9"}', headers)]
    shown = (await operator.get(f"{LETTERS}/{known}")).json()
    assert shown["status"] == "replayed"
    assert shown["replayed_at"] is not None
    # It may be replayed again: what broke then is another letter.
    assert (await operator.post(f"{LETTERS}/{known}/replay")).status_code == 202


async def test_what_the_broker_does_not_confirm_is_published_later(
    mongo: Mongo, operator: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await letter(mongo)
    await operator.post(f"{LETTERS}/{known}/replay")
    published: Published = []

    async def publish(*message: Any) -> None:  # noqa: ANN401
        published.append(message)

    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "_points", failpoints._armed("gateway.letter_replayed_before_recorded:raise"))
        with pytest.raises(TransientError):
            await DeadLetterOffice(mongo).publish_wanted(publish)
    await DeadLetterOffice(mongo).publish_wanted(publish)
    assert len(published) == 1, "somebody has it"
    await mongo.state["dead_letters"].update_one({"_id": known}, {"$set": {"lease_until": datetime.now(UTC)}})
    await DeadLetterOffice(mongo).publish_wanted(publish)
    assert len(published) == 2
    assert published[0] == published[1]


async def test_discarded_with_why(operator: httpx.AsyncClient, mongo: Mongo) -> None:
    known = await letter(mongo)
    assert_error(await operator.post(f"{LETTERS}/{known}/discard", json={}), 422, "INVALID_REQUEST", "body.reason")
    done = (await operator.post(f"{LETTERS}/{known}/discard", json={"reason": "a test of ours"})).json()
    assert (done["status"], done["reason"], done["decided_by"]) == ("discarded", "a test of ours", "key:ops")
    assert_error(await operator.post(f"{LETTERS}/{known}/replay"), 409, "ALREADY_DECIDED")


@pytest.mark.parametrize("changes", [{"topic": "gone.v1"}, {"value": None}, {"value": b"x" * 300_000}])
async def test_what_cannot_be_replayed(operator: httpx.AsyncClient, mongo: Mongo, changes: dict[str, object]) -> None:
    known = await letter(mongo, **changes)
    assert_error(await operator.post(f"{LETTERS}/{known}/replay"), 409, "NOT_REPLAYABLE")


async def test_by_the_command_line(operator: httpx.AsyncClient, mongo: Mongo, mongo_settings: MongoSettings) -> None:
    first, second = await letter(mongo), await letter(mongo, value=b"\xff{")
    code, listed, _ = await run_admin(mongo_settings, "dead-letters", "list", "--status", "waiting")
    assert (code, {each["id"] for each in listed}) == (0, {first, second})
    _, [done], _ = await run_admin(mongo_settings, "dead-letters", "discard", first, "known and harmless")
    assert (done["state"], done["reason"]) == ("discarded", "known and harmless")
    _, [wanted], _ = await run_admin(mongo_settings, "dead-letters", "replay", second)
    assert wanted["state"] == "replaying"
    code, _, error = await run_admin(mongo_settings, "dead-letters", "replay", first)
    assert (code, "discarded already" in error) == (1, True)
    assert (await operator.get(f"{LETTERS}/{second}")).json()["status"] == "replaying"
    _, [shown], _ = await run_admin(mongo_settings, "dead-letters", "show", second)
    assert (shown["topic"], shown["value"]) == (BATCH_READY.name, "\\xff{")
