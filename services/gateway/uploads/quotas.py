"""How much one organization may have going on, and stored; nothing more where it is suspended or being deleted.

What it uses is counted from indexes, and remembered for a moment; what this process takes in meanwhile is added to it.
So several uploads at once overshoot by no more than what other gateways take in during that moment.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cachetools import LRUCache

from services.gateway.access.principal import Principal
from services.gateway.errors import GatewayError, LimitError, StorageFullError, suspended
from services.gateway.stores.usage import Usage, UsageStore

REMEMBERED_SECONDS = 1.0
COUNTING_SHARE = 0.05
"""Most of the time that is spent on counting for one organization: what took long is remembered longer."""
MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class RunQuotas:
    """What an organization may use; 0 for as much as it likes.

    Attributes:
        active_runs: runs that have not ended.
        queued_bytes: of the files of those.
        stored_bytes: of all files that are kept.
    """

    active_runs: int = 0
    queued_bytes: int = 0
    stored_bytes: int = 0


@dataclass(slots=True)
class _Remembered:
    """A count, with what this process has taken in since it was begun."""

    usage: Usage
    until: float
    runs: int = 0
    bytes: int = 0


@dataclass(slots=True)
class QuotaKeeper:
    """Refuses uploads of organizations that use what they may.

    Args:
        store: counts.
        quotas: of every organization.
    """

    store: UsageStore
    quotas: RunQuotas
    _remembered: LRUCache[str, _Remembered] = field(default_factory=lambda: LRUCache(MAX_REMEMBERED))
    _counting: dict[str, asyncio.Task[_Remembered]] = field(default_factory=dict[str, "asyncio.Task[_Remembered]"])
    _arriving: Counter[str] = field(default_factory=Counter[str])
    _arriving_bytes: Counter[str] = field(default_factory=Counter[str])

    async def obstacle(self, principal: Principal, size: int) -> GatewayError | None:
        """Why the organization may not have one more run with a file of ``size`` bytes, or ``None``."""
        known = await self._known(principal)
        if known.usage.leaving:
            return suspended()
        tenant_id, quotas = principal.tenant_id, self.quotas
        runs = known.usage.active_runs + known.runs + self._arriving[tenant_id]
        more = known.bytes + self._arriving_bytes[tenant_id] + size
        if 0 < quotas.active_runs <= runs:
            return LimitError(
                "TOO_MANY_ACTIVE_RUNS",
                f"this organization has {runs:,} runs that have not ended, as many as it may ({quotas.active_runs:,}); "
                "execute or cancel those that are validated, or try again when others have ended",
            )
        if 0 < quotas.queued_bytes < known.usage.queued_bytes + more:
            return LimitError(
                "TOO_MANY_QUEUED_BYTES",
                f"with this file, the runs of this organization that have not ended would have files of more than "
                f"{quotas.queued_bytes:,} bytes; execute or cancel those that are validated, or try again when others "
                "have ended",
            )
        if 0 < quotas.stored_bytes < known.usage.stored_bytes + more:
            return StorageFullError(
                "STORED_BYTES_EXHAUSTED",
                f"with this file, more than {quotas.stored_bytes:,} bytes would be stored for this organization; files "
                "are removed some time after their run has ended, so try again another day, or ask the operator for "
                "more room (ROWDOCK_MAX_STORED_BYTES)",
            )
        return None

    @contextmanager
    def arriving(self, principal: Principal, announced: int) -> Generator[None]:
        """An upload of ``announced`` bytes counts for the length of a block."""
        tenant_id = principal.tenant_id
        self._arriving[tenant_id] += 1
        self._arriving_bytes[tenant_id] += announced
        try:
            yield
        finally:
            self._arriving[tenant_id] -= 1
            self._arriving_bytes[tenant_id] -= announced
            if not self._arriving[tenant_id]:
                del self._arriving[tenant_id]
                del self._arriving_bytes[tenant_id]

    def taken_in(self, principal: Principal, size: int) -> None:
        """The organization gets a run with a file of ``size`` bytes."""
        if (known := self._remembered.get(principal.tenant_id)) is not None:
            known.runs += 1
            known.bytes += size

    async def _known(self, principal: Principal) -> _Remembered:
        known = self._remembered.get(principal.tenant_id)
        if known is not None and time.monotonic() < known.until:
            return known
        # However many uploads ask at once, it is counted once.
        if (counting := self._counting.get(principal.tenant_id)) is None:
            counting = self._counting[principal.tenant_id] = asyncio.create_task(self._count(principal))
            counting.add_done_callback(lambda _: self._counting.pop(principal.tenant_id, None))
        return await asyncio.shield(counting)

    async def _count(self, principal: Principal) -> _Remembered:
        began = time.monotonic()
        usage = await self.store.of(principal)
        now = time.monotonic()
        lasts = max(REMEMBERED_SECONDS, (now - began) / COUNTING_SHARE)
        self._remembered[principal.tenant_id] = known = _Remembered(usage, now + lasts)
        return known
