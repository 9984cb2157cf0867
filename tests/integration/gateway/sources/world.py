"""Sources, and pollers in the test's own process."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from libs.egress.rules import IPNetwork
from libs.ledger import Ledger
from libs.ledger.connection import LedgerConnection
from libs.ledger.leases import Leases
from libs.process.shares import Shares, Turns
from libs.storage.client import Mongo
from libs.storage.documents import SourceDocument, SourceFileDocument
from libs.storage.files import FileStore
from libs.storage.sealing import SecretKeys
from libs.telemetry.metrics import Metrics
from services.gateway.access.reach import Reach
from services.gateway.settings import GatewaySettings
from services.gateway.sources.opening import Places
from services.gateway.sources.places import Place
from services.gateway.sources.polling import Pace, Poller
from services.gateway.sources.taking import Taking
from services.gateway.stores.source_ledger import SourceLedger
from services.gateway.stores.usage import UsageStore
from services.gateway.templates.borrowing import Borrowing
from services.gateway.templates.unique_keys import KeyRegistrar
from services.gateway.uploads.quotas import QuotaKeeper, RunQuotas
from services.gateway.uploads.uploads import Uploads
from tests.integration.gateway.conftest import MAX_UPLOAD_BYTES, SECRET_KEY, SOURCES, Organization
from tests.integration.gateway.steps import CSV, create_source, create_template, validate

LOOKS = 40
ALLOWED: tuple[IPNetwork, ...] = GatewaySettings(
    secret_key=SecretStr(SECRET_KEY),
    source_allowed_networks="127.0.0.0/8",  # pyright: ignore[reportArgumentType]
).source_allowed_networks


@dataclass(frozen=True)
class OtherPlaces(Places):
    """Places whose doings a test bends.

    Attributes:
        bend: what is used instead of a place.
    """

    bend: Callable[[Place], Place] = field(default=lambda place: place)

    @asynccontextmanager
    async def opened(self, source: SourceDocument) -> AsyncGenerator[Place]:
        async with Places.opened(self, source) as place:
            yield self.bend(place)


@dataclass(frozen=True)
class World:
    """An organization with a folder."""

    organization: Organization
    ledger: Ledger
    mongo: Mongo
    metrics: Metrics = field(default_factory=lambda: Metrics("sources"))

    @property
    def folder(self) -> Path:
        return Path(SOURCES.name) / self.organization.id

    async def source(self, **changes: object) -> dict[str, Any]:
        http = self.organization.http
        return await create_source(http, (await create_template(http))["id"], **changes)

    def poller(
        self,
        name: str = "one",
        *,
        pace: Pace | None = None,
        bend: Callable[[Place], Place] | None = None,
        root: Path | None = None,
        most_entries: int = 100_000,
    ) -> Poller:
        """A poller of that name, as ``python -m services.gateway.sources`` builds it."""
        leases = Leases(LedgerConnection(self.mongo, "test"))
        ledger = SourceLedger(self.mongo, leases, name)
        uploads = Uploads(
            FileStore(self.mongo),
            Reach(self.mongo),
            self.ledger,
            Borrowing(self.mongo, KeyRegistrar(self.mongo, 32, 20), 1_000),
            Turns(Shares(8), 30, 100),
            QuotaKeeper(UsageStore(self.mongo), RunQuotas()),
            1024**2,
        )
        places = Places(SecretKeys(SECRET_KEY), root or Path(SOURCES.name), ALLOWED, most_entries)
        if bend is not None:
            members = {name: getattr(places, name) for name in Places.__dataclass_fields__}
            places = OtherPlaces(**members, bend=bend)
        taking = Taking(ledger, uploads, MAX_UPLOAD_BYTES, self.metrics)
        return Poller(ledger, places, taking, self.metrics, pace or Pace())

    def counted(self, name: str, **labels: str) -> float:
        """What the pollers of this world have counted."""
        return self.metrics.registry.get_sample_value(f"rowdock_{name}", labels) or 0

    async def look(self, poller: Poller, source_id: str, times: int = 1) -> SourceDocument:
        """Let a poller look at a source, whatever its schedule says."""
        for _ in range(times):
            await self.mongo.state["sources"].update_one(
                {"_id": source_id},
                [{"$set": {"look_at": {"$subtract": ["$$NOW", 1]}, "list_at": {"$subtract": ["$$NOW", 1]}}}],
            )
            taken = await poller.ledger.take(source_id, 60)
            if taken is not None:
                await poller._turn(*taken)  # pyright: ignore[reportPrivateUsage] - of this source, and no other
        return await self.stored(source_id)

    async def stored(self, source_id: str) -> SourceDocument:
        found = await self.mongo.state["sources"].find_one({"_id": source_id})
        assert found is not None
        return SourceDocument.read(found)

    async def entries(self, source_id: str) -> list[SourceFileDocument]:
        found = self.mongo.state["source_files"].find({"source_id": source_id}).sort([("path", 1), ("arrival", 1)])
        return [SourceFileDocument.read(each) async for each in found]

    async def states(self, source_id: str) -> dict[str, str]:
        """What became of each file, or how far it is, by its path."""
        return {each.path: (each.outcome or each.state).value for each in await self.entries(source_id)}

    async def runs(self) -> list[dict[str, Any]]:
        return await self.mongo.state["runs"].find({"tenant_id": self.organization.id}).to_list()

    async def stored_files(self) -> int:
        return await self.mongo.state["files.files"].count_documents({"metadata.tenant_id": self.organization.id})

    async def complete(self) -> None:
        """Do what the other services would do with every run that waits."""
        for run in await self.runs():
            if run["status"] == "pending":
                await validate(self.ledger, run["_id"])
                await self.ledger.maybe_advance(run["_id"])
                after = await self.ledger.runs.get(run["_id"])
                assert after is not None
                assert after.status.value == "completed", after.status

    async def all_put_away(self, poller: Poller, source_id: str) -> None:
        """Look, and let runs end, until nothing is to be done any more."""
        for _ in range(LOOKS):
            await self.look(poller, source_id)
            await self.complete()
            entries = await self.entries(source_id)
            if entries and all(each.state.value == "settled" for each in entries):
                return
        raise AssertionError(await self.states(source_id))

    def report(self, directory: str) -> dict[str, Any]:
        [found] = (self.folder / directory).glob("*.report.json")
        return json.loads(found.read_text())


def put(path: Path, content: bytes = CSV, seconds: int = 1_700_000_000) -> None:
    """A file that was written then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (seconds, seconds))


async def until(check: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    """Return once ``check`` holds; fail after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.05)


def changed(place: Place, **methods: object) -> Any:  # noqa: ANN401 - a place
    """A place some of whose methods are others."""

    class Bent:
        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whichever it is
            return methods.get(name) or getattr(place, name)

    return Bent()
