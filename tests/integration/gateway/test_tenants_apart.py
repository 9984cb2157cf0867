"""What one organization can take of what the gateway has for all, and what each may have."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from litestar import Litestar

from libs.ledger import Ledger
from libs.messaging.cancellation import end_tasks
from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from services.gateway.access.api_keys import ApiKeys, new_key
from services.gateway.access.principal import Principal
from services.gateway.stores.usage import ACTIVE_INDEX, UsageStore
from tests.integration.gateway.conftest import new_app
from tests.integration.gateway.steps import CSV, assert_error, create_template, eventually, upload, validate
from tests.integration.gateway.test_edge import connected
from tests.integration.gateway.test_server import served

pytestmark = pytest.mark.usefixtures("rebound")


@dataclass(frozen=True)
class Tenant:
    """An organization with a template of its own."""

    id: str
    key: str
    http: httpx.AsyncClient
    template_id: str

    async def upload(self, content: bytes = CSV, **headers: str) -> httpx.Response:
        return await upload(self.http, self.template_id, content, **headers)

    @property
    def unfinished_upload(self) -> bytes:
        """The beginning of an upload that announces far more than it sends."""
        return (
            f"POST /imports/upload HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {self.key}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n"
            '--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nsku\r\n'
        ).encode()


@asynccontextmanager
async def gateway(
    settings: MongoSettings,
    tenants: int,
    **changes: Any,  # noqa: ANN401 - those of GatewaySettings
) -> AsyncIterator[tuple[Litestar, list[Tenant]]]:
    """A gateway of its own settings, and organizations that ask it."""
    app = await asyncio.to_thread(new_app, settings, **{"wait_seconds": 0, **changes})
    async with app.lifespan(), AsyncExitStack() as stack:
        made: list[Tenant] = []
        for number in range(tenants):
            key = new_key()
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app),  # pyright: ignore[reportArgumentType]
                base_url="http://gateway",
                headers={"Authorization": f"Bearer {key}"},
            )
            identifier = await ApiKeys().create(f"Tenant {number}", "test", key)
            await stack.enter_async_context(client)
            made.append(Tenant(identifier, key, client, (await create_template(client))["id"]))
        yield app, made


async def test_uploads_that_trickle_leave_room_for_others(mongo_settings: MongoSettings, mongo: Mongo) -> None:
    """All that one organization may hold, and one more that waits; nothing of them is left in the end."""
    async with (
        gateway(mongo_settings, 2, max_concurrent_uploads=4, upload_idle_seconds=4) as (app, (greedy, other)),
        served(app) as port,
        AsyncExitStack() as stack,
    ):
        readers = [(await stack.enter_async_context(connected(port, greedy.unfinished_upload)))[0] for _ in range(3)]
        given_up = [asyncio.create_task(reader.readuntil(b"\r\n")) for reader in readers]
        uploaded = asyncio.create_task(other.upload())
        done, _ = await asyncio.wait([uploaded, *given_up], return_when=asyncio.FIRST_COMPLETED)
        assert done == {uploaded}
        assert uploaded.result().status_code == 202
        assert [line[:12] for line in await asyncio.gather(*given_up)] == [b"HTTP/1.1 408"] * 3
        assert (await greedy.upload()).status_code == 202
        assert await mongo.state["files.files"].count_documents({"metadata.tenant_id": greedy.id}) == 1


async def test_several_that_trickle_leave_room_for_another(mongo_settings: MongoSettings) -> None:
    async with (
        gateway(mongo_settings, 3, max_concurrent_uploads=8, upload_idle_seconds=20) as (app, (first, second, other)),
        served(app) as port,
        AsyncExitStack() as stack,
    ):
        for greedy in [first, second] * 8:
            await stack.enter_async_context(connected(port, greedy.unfinished_upload))
        async with asyncio.timeout(15):
            assert (await other.upload()).status_code == 202


async def test_a_bounded_number_of_uploads_waits(mongo_settings: MongoSettings) -> None:
    changes = {"max_concurrent_uploads": 1, "max_waiting_uploads": 1, "upload_queue_seconds": 0.3}
    async with (
        gateway(mongo_settings, 2, upload_idle_seconds=30, **changes) as (app, (greedy, other)),
        served(app) as port,
        connected(port, greedy.unfinished_upload),
    ):
        await eventually(lambda: _refused(greedy, 429), 10)
        own, foreign = await asyncio.gather(greedy.upload(), other.upload())
        assert_error(own, 429, "TOO_MANY_UPLOADS_OF_ORGANIZATION")
        assert_error(foreign, 503, "TOO_MANY_UPLOADS")
        assert (own.headers["retry-after"], foreign.headers["retry-after"]) == ("10", "10")


async def _refused(tenant: Tenant, status: int) -> bool:
    return (await tenant.upload()).status_code == status


async def test_requests_at_work_are_shared(mongo_settings: MongoSettings, mongo: Mongo) -> None:
    """Long waits for runs that do not move, up to what one may have; another asks as before."""
    changes = {"max_concurrent_requests": 4, "wait_seconds": 60}
    async with gateway(mongo_settings, 2, **changes) as (_, (greedy, other)):
        waits = [asyncio.create_task(greedy.upload()) for _ in range(2)]

        async def both_wait() -> bool:
            return await mongo.state["runs"].count_documents({"tenant_id": greedy.id}) == 2

        await eventually(both_wait)
        refused = await greedy.http.get("/imports/runs")
        assert_error(refused, 429, "TOO_MANY_REQUESTS")
        assert refused.headers["retry-after"] == "2"
        assert (await other.http.get("/imports/runs")).status_code == 200
        await end_tasks(waits)
        assert (await greedy.http.get("/imports/runs")).status_code == 200


async def test_files_that_are_tried_are_shared(mongo_settings: MongoSettings) -> None:
    changes = {"max_concurrent_dry_runs": 2, "dry_run_wait_seconds": 8}

    async def tried(tenant: Tenant) -> httpx.Response:
        form = {"template_id": tenant.template_id}
        return await tenant.http.post("/imports/dry-run", data=form, files={"file": ("a.csv", CSV)})

    async with gateway(mongo_settings, 2, **changes) as (_, (greedy, other)):
        first = asyncio.create_task(tried(greedy))
        answers = await asyncio.gather(tried(greedy), tried(greedy), tried(other))
        codes = sorted(answer.json()["code"] for answer in [*answers, await first])
    assert codes == ["DRY_RUN_TOO_LONG"] * 2 + ["TOO_MANY_DRY_RUNS_OF_ORGANIZATION"] * 2


async def test_active_runs_are_limited_and_replays_are_not(mongo_settings: MongoSettings, mongo: Mongo) -> None:
    async with gateway(mongo_settings, 2, max_active_runs=2) as (_, (tenant, other)):
        first = await tenant.upload(**{"Idempotency-Key": "one"})
        assert [first.status_code, (await tenant.upload()).status_code] == [202, 202]
        refused = await tenant.upload()
        error = assert_error(refused, 429, "TOO_MANY_ACTIVE_RUNS")
        assert "cancel" in error["detail"]
        assert refused.headers["retry-after"] == "10"
        again = await tenant.upload(**{"Idempotency-Key": "one"})
        assert again.json()["id"] == first.json()["id"]
        assert (await other.upload()).status_code == 202
        assert await mongo.state["files.files"].count_documents({"metadata.tenant_id": tenant.id}) == 2
        assert (await tenant.http.post(f"/imports/runs/{first.json()['id']}/cancel")).status_code == 200

        async def there_is_room() -> bool:
            return (await tenant.upload()).status_code == 202

        await eventually(there_is_room)


async def test_a_burst_overshoots_nothing_in_one_gateway(mongo_settings: MongoSettings, mongo: Mongo) -> None:
    async with gateway(mongo_settings, 1, max_active_runs=5) as (_, (tenant,)):
        statuses = sorted([each.status_code for each in await asyncio.gather(*(tenant.upload() for _ in range(30)))])
        assert statuses == [202] * 5 + [429] * 25
        assert await mongo.state["runs"].count_documents({"tenant_id": tenant.id}) == 5


@pytest.mark.parametrize(
    ("quota", "status", "code"),
    [
        ({"max_queued_bytes": 100_000}, 429, "TOO_MANY_QUEUED_BYTES"),
        ({"max_stored_bytes": 100_000}, 507, "STORED_BYTES_EXHAUSTED"),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
async def test_bytes_are_limited_before_they_come_or_at_the_latest_when_they_are_there(
    mongo_settings: MongoSettings, mongo: Mongo, quota: dict[str, int], status: int, code: str, announced: bool
) -> None:
    rows = b"name,amount\n" + b"a,1\n" * 15_000

    async def form() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="template_id"\r\n\r\n' + tenant.template_id.encode()
        yield b'\r\n--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + rows
        yield b"\r\n--x--\r\n"

    async with gateway(mongo_settings, 1, **quota) as (_, (tenant,)):
        assert (await tenant.upload(rows)).status_code == 202
        body: Any = form() if not announced else b"".join([portion async for portion in form()])
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        refused = await tenant.http.post("/imports/upload", content=body, headers=headers)
        assert_error(refused, status, code)
        assert ("retry-after" in refused.headers) is (status == 429)
        assert await mongo.state["files.files"].count_documents({"metadata.tenant_id": tenant.id}) == 1
        assert (await tenant.upload()).status_code == 202, "a small one still fits"


async def test_what_is_used_is_counted_without_looking_at_a_run(
    mongo_settings: MongoSettings, mongo: Mongo, ledger: Ledger
) -> None:
    async with gateway(mongo_settings, 2) as (_, (tenant, other)):
        run_ids = [(await tenant.upload()).json()["id"] for _ in range(3)]
        await other.upload()
        await validate(ledger, run_ids[0])
        await mongo.state["runs"].update_one({"_id": run_ids[1]}, {"$set": {"status": "failed"}})
        store = UsageStore(mongo)
        used = await store.of(Principal(tenant.id, "test", "key"))
    assert (used.active_runs, used.queued_bytes, used.stored_bytes) == (2, 2 * len(CSV), 3 * len(CSV))
    active: dict[str, Any] = {"aggregate": "runs", "pipeline": store.active_of(tenant.id), "hint": ACTIVE_INDEX}
    stored: dict[str, Any] = {"aggregate": "files.files", "pipeline": store.stored_of(tenant.id)}
    for question in (active, stored):
        explained = await mongo.state.command("explain", {**question, "cursor": {}}, verbosity="executionStats")
        assert _examined(explained) == 0, question["aggregate"]


def _examined(explained: Any) -> int:  # noqa: ANN401 - a document of the server
    if isinstance(explained, list):
        return sum(map(_examined, explained))
    if not isinstance(explained, dict):
        return 0
    return sum(value if key == "totalDocsExamined" else _examined(value) for key, value in explained.items())
