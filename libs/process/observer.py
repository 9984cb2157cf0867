"""One process counts what there is to do, for all of them.

What is counted over the whole state would be the same in every process, and asking for it costs the servers something.
So one holds a lease and asks, at intervals of its own and never because somebody scrapes; the others export nothing.
"""

import time
from collections.abc import Mapping

import structlog
from prometheus_client import Gauge

from libs.contracts.errors import TransientError
from libs.contracts.services import OPTIONAL_SERVICES, SERVICES
from libs.ledger.observation import Observation
from libs.messaging.lag import lag_of_services
from libs.process.settings import ServiceSettings
from libs.storage.client import Mongo
from libs.telemetry.declaring import NOT_COUNTED
from libs.telemetry.metrics import BUSIEST_ORGANIZATIONS, Metrics

LEASE_SECONDS = 30.0

logger = structlog.get_logger()


class Observer:
    """Counts, while this process is the one that does.

    Args:
        mongo: the databases.
        settings: name of this process, and where Kafka is.
        metrics: where the counts go.
        every_seconds: how often ``observe`` is called.
    """

    def __init__(self, mongo: Mongo, settings: ServiceSettings, metrics: Metrics, every_seconds: float) -> None:
        self._observation = Observation(mongo)
        self._settings = settings
        self._metrics = metrics
        self._lease_seconds = every_seconds + LEASE_SECONDS
        self._counts = False

    async def observe(self) -> None:
        """Count once, unless another process does.

        Raises:
            pymongo.errors.PyMongoError: MongoDB does not answer; nothing is exported until it does.
        """
        try:
            mine = await self._observation.take(self._settings.instance, self._lease_seconds)
            if not mine:
                self._forget()
                return
            started = time.perf_counter()
            await self._state()
            await self._sizes()
            await self._organizations()
            self._metrics.observing_seconds.observe(time.perf_counter() - started)
        except Exception:
            self._forget()
            raise
        self._counts = True
        self._metrics.observer.set(1)
        self._metrics.observed_at.set_to_current_time()

    async def observe_kafka(self) -> None:
        """The same of what Kafka knows: apart, because without it every question takes as long as it may."""
        groups = []
        if self._counts:
            try:
                groups = await lag_of_services(self._settings)
            except TransientError as error:
                logger.info("observer.kafka_cannot_tell", error=str(error))
        self._metrics.consumer_lag.clear()
        self._metrics.consumer_members.clear()
        for group in groups:
            self._metrics.consumer_lag.labels(group.topic).set(group.waiting)
            self._metrics.consumer_members.labels(group.topic).set(group.members)

    async def leave(self) -> None:
        """Let another process count from now on."""
        self._forget()
        await self._observation.release(self._settings.instance)

    async def _state(self) -> None:
        asked, metrics = self._observation, self._metrics
        for status, runs in (await asked.active_runs()).items():
            metrics.runs_active.labels(status.value).set(runs)
        for status, seconds in (await asked.oldest_seconds()).items():
            metrics.runs_oldest_seconds.labels(status.value).set(seconds)
        for service, rows in (await asked.outbox_rows((*SERVICES, *OPTIONAL_SERVICES))).items():
            metrics.outbox_rows.labels(service).set(rows)
        metrics.dead_letters_waiting.set(await asked.dead_letters())
        metrics.deliveries_pending.set(await asked.pending_deliveries())
        metrics.endpoints_given_up.set(await asked.endpoints_given_up())
        for state, sources in (await asked.sources()).items():
            metrics.sources.labels(state).set(sources)
        metrics.sources_overdue_seconds.set(await asked.sources_overdue_seconds())

    async def _sizes(self) -> None:
        for name, sizes in (await self._observation.collections()).items():
            self._metrics.collection_documents.labels(name).set(sizes.documents)
            for kind in ("data", "storage", "indexes"):
                self._metrics.collection_bytes.labels(name, kind).set(getattr(sizes, kind))
        target, disk = await self._observation.target(), await self._observation.disk()
        for kind in ("data", "storage", "indexes"):
            self._metrics.target_bytes.labels(kind).set(getattr(target, kind))
        self._metrics.disk_bytes.labels("used").set(disk.used)
        self._metrics.disk_bytes.labels("total").set(disk.total)

    async def _organizations(self) -> None:
        work = await self._observation.work()
        for (state, lane), batches in work.in_flight.items():
            self._metrics.batches_in_flight.labels(state.value, lane.value).set(batches)
        for (state, lane), batches in work.waiting.items():
            self._metrics.batches_waiting.labels(state.value, lane.value).set(batches)
        organizations = await self._observation.organizations()
        self._metrics.tenants_active.set(len(organizations))
        _tell_busiest(self._metrics.tenant_runs, {name: each.runs for name, each in organizations.items()})
        _tell_busiest(self._metrics.tenant_bytes, {name: each.queued_bytes for name, each in organizations.items()})
        _tell_busiest(self._metrics.tenant_batches, work.of_organizations)
        _tell_busiest(self._metrics.tenant_rows, await self._observation.recent_rows())

    def _forget(self) -> None:
        """Export nothing of what another process counts."""
        self._counts = False
        metrics = self._metrics
        for gauge in (
            metrics.runs_active,
            metrics.runs_oldest_seconds,
            metrics.batches_in_flight,
            metrics.batches_waiting,
            metrics.outbox_rows,
            metrics.sources,
            metrics.consumer_lag,
            metrics.consumer_members,
            metrics.collection_bytes,
            metrics.collection_documents,
            metrics.target_bytes,
            metrics.disk_bytes,
            metrics.tenant_runs,
            metrics.tenant_bytes,
            metrics.tenant_batches,
            metrics.tenant_rows,
        ):
            gauge.clear()
        metrics.observer.set(0)
        for gauge in (
            metrics.dead_letters_waiting,
            metrics.deliveries_pending,
            metrics.endpoints_given_up,
            metrics.sources_overdue_seconds,
            metrics.tenants_active,
        ):
            gauge.set(NOT_COUNTED)


def _tell_busiest(gauge: Gauge, counts: Mapping[str, int]) -> None:
    """Export the organizations with most, and no others: what was counted before is forgotten."""
    busiest = sorted(counts, key=counts.__getitem__, reverse=True)[:BUSIEST_ORGANIZATIONS]
    gauge.clear()
    for tenant_id in busiest:
        gauge.labels(tenant_id).set(counts[tenant_id])
