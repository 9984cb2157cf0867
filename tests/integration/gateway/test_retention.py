"""What the gateway removes because it was kept long enough."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from beanie import init_beanie
from pydantic import SecretStr

from deploy.provision import provision_mongodb
from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo, connect
from libs.storage.documents import DOCUMENTS
from libs.storage.settings import MongoSettings
from services.gateway.access.api_keys import ApiKeys, new_key
from services.gateway.retention import expiry
from services.gateway.retention.expiry import Expiry, Keeping
from services.gateway.stores.dead_letters import DeadLetterStore
from tests.integration.gateway.conftest import Organization, new_app
from tests.integration.gateway.steps import create_template, eventually, submit, upload, validate

pytestmark = pytest.mark.servers

NOW = datetime.now(UTC)
YEAR = timedelta(days=365)


async def letters(mongo: Mongo) -> set[str]:
    return {letter["_id"] async for letter in mongo.state["dead_letters"].find({}, {"_id": 1})}


async def test_a_sweep_goes_on_as_long_as_there_is_something_old(
    mongo: Mongo, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mongo.state["dead_letters"].delete_many({})
    ages = {"young": 1, "old": 366, "older": 370, "oldest": 400}
    await mongo.state["dead_letters"].insert_many(
        [
            {"_id": name, "key": None, "value": b"{}", "headers": [], "created_at": NOW - timedelta(days=age)}
            for name, age in ages.items()
        ]
    )
    monkeypatch.setattr(expiry, "LETTERS_AT_A_TIME", 2)
    sweeper = Expiry(ledger, DeadLetterStore(mongo), Keeping(files=YEAR, runs=YEAR, dead_letters=YEAR))
    await sweeper.sweep()
    assert await letters(mongo) == {"young"}


async def test_a_run_says_that_its_file_is_gone(acme: Organization, mongo: Mongo, ledger: Ledger) -> None:
    run_id = await submit(acme.http)
    assert (await acme.http.get(f"/imports/runs/{run_id}")).json()["file_removed_at"] is None
    await ledger.stop(run_id, RunStatus.FAILED, "CANCELLED", "for a test")
    await mongo.state["runs"].update_one({"_id": run_id}, {"$set": {"finished_at": NOW - timedelta(days=31)}})
    month = timedelta(days=30)
    await Expiry(ledger, DeadLetterStore(mongo), Keeping(files=month, runs=YEAR, dead_letters=YEAR)).sweep()
    shown = (await acme.http.get(f"/imports/runs/{run_id}")).json()
    assert shown["file_removed_at"] is not None
    assert (shown["status"], shown["file_name"]) == ("failed", "p.csv")
    # The same file may come again, and its run is known for one like it.
    again = (await upload(acme.http, shown["template_id"])).json()
    assert (again["duplicate_of"], again["id"] != run_id) == (run_id, True)


@pytest.fixture
async def elsewhere(mongodb_uri: str, rebound: None) -> AsyncIterator[tuple[Mongo, MongoSettings]]:
    """Databases in which nothing of other tests can be removed."""
    del rebound
    name = f"retention{uuid4().hex[:12]}"
    settings = MongoSettings(mongodb=SecretStr(mongodb_uri), database=name, target_database=f"{name}_data")
    await provision_mongodb(settings)
    mongo = await connect(settings)
    await init_beanie(database=mongo.state, document_models=DOCUMENTS, skip_indexes=True)
    yield mongo, settings
    await mongo.client.close()


async def test_the_gateway_removes_by_itself_and_nothing_open(elsewhere: tuple[Mongo, MongoSettings]) -> None:
    mongo, settings = elsewhere
    ledger = Ledger(mongo, "test")
    moment = 0.000_001
    app = new_app(settings, keep_runs_days=moment, keep_files_days=moment, retention_sweep_seconds=0.1)
    async with (
        app.lifespan(),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),  # pyright: ignore[reportArgumentType] - Litestar's own ASGI types
            base_url="http://gateway",
        ) as http,
    ):
        key = new_key()
        await ApiKeys().create("Acme", "test", key)
        http.headers["Authorization"] = f"Bearer {key}"
        template_id = (await create_template(http))["id"]
        pending, validated, ended = [(await upload(http, template_id)).json()["id"] for _ in range(3)]
        await validate(ledger, validated)
        assert (await http.post(f"/imports/runs/{ended}/cancel")).is_success
        # Nobody relays its events here: there is no Kafka.
        assert (await http.get(f"/imports/runs/{ended}")).json()["status"] == "cancelled"
        await mongo.state["outbox"].delete_many({"value": {"$regex": ended}})

        async def gone() -> bool:
            return (await http.get(f"/imports/runs/{ended}")).status_code == 404

        await eventually(gone)
        for run_id, status in ((pending, "pending"), (validated, "validated")):
            shown = (await http.get(f"/imports/runs/{run_id}")).json()
            assert (shown["status"], shown["file_removed_at"]) == (status, None)
    assert await mongo.state["files.files"].count_documents({}) == 2
