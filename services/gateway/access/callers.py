"""Recognises who calls and counts the request, by one operation on the database.

The document of an API key holds what its limits count, so the question that counts is also the one that finds the key:
a key that was revoked or has expired is not found from the next request on, in every gateway. Requests of one caller
that come at the same moment are counted together, so that they do not wait for each other in the database.
"""

import time
from typing import NamedTuple

from cachetools import LRUCache, TTLCache

from libs.storage.client import Document, Mongo
from libs.storage.documents import ApiKey, RequestCount
from libs.storage.mongo_errors import is_transient
from services.gateway.access.api_keys import digest, live_keys, stored_scopes
from services.gateway.access.gathering import Gathering
from services.gateway.access.plans import PlanRates
from services.gateway.access.principal import Principal
from services.gateway.access.rates import Allowance, Kind, allowances, counting

MAX_KNOWN = 10_000
REFUSED_SECONDS = 1.0
"""So long a gateway refuses by itself whom the database has refused, so that a flood is no load for it."""
_ACKNOWLEDGED: Document = {"w": 1, "j": False}
"""A count need not outlive the loss of the primary; waiting for the journal would take ten times as long."""


class Called(NamedTuple):
    """Who called, and what the request is told about its limit; ``None`` where there is none."""

    principal: Principal
    allowance: Allowance | None


class _Slot(NamedTuple):
    """What is counted together."""

    identity: str
    kind: Kind
    plan_limit: int


class Callers:
    """Who calls, and whether once more is too often."""

    def __init__(self, mongo: Mongo, plans: PlanRates) -> None:
        self._state = mongo.state
        self._plans = plans
        self._tenants = LRUCache[str, str](MAX_KNOWN)
        """Whose key a digest is of, which never changes."""
        self._refused = TTLCache[_Slot, tuple[float, Called], float](MAX_KNOWN, REFUSED_SECONDS)
        self._keys = Gathering(self._count_key)
        self._sessions = Gathering(self._count_session)

    def knows(self, key: str) -> bool:
        """Whether this gateway has seen the key before; it may have been revoked since."""
        return digest(key) in self._tenants

    async def by_key(self, key: str, kind: Kind) -> Called | None:
        """Whom a key stands for; ``None`` where it is unknown, revoked or expired.

        Raises:
            pymongo.errors.PyMongoError: the database does not answer.
        """
        fingerprint = digest(key)
        if (tenant_id := self._tenants.get(fingerprint)) is None:
            stored = await self._state[ApiKey.Settings.name].find_one({"digest": fingerprint}, {"tenant_id": 1})
            if stored is None:
                return None
            self._tenants[fingerprint] = tenant_id = str(stored["tenant_id"])
        slot = _Slot(fingerprint, kind, (await self._plans.rates(tenant_id)).of(kind))
        return self._refusal(slot) or self._noted(slot, await self._keys.answer(slot))

    async def count_session(self, principal: Principal, kind: Kind) -> Called:
        """Count a request of somebody who has shown in another way who they are.

        Raises:
            pymongo.errors.PyMongoError: the database does not answer.
        """
        identity = f"{principal.tenant_id}:{principal.subject}"
        slot = _Slot(identity, kind, (await self._plans.rates(principal.tenant_id)).of(kind))
        if (refused := self._refusal(slot)) is not None:
            return Called(principal, refused.allowance)
        called = Called(principal, await self._sessions.answer(slot))
        self._noted(slot, called)
        return called

    def _refusal(self, slot: _Slot) -> Called | None:
        """What the database has said a moment ago, where that was no and the window has not ended since."""
        if (known := self._refused.get(slot)) is None:
            return None
        since, called = known
        assert called.allowance is not None
        left = called.allowance.seconds_left - (time.monotonic() - since)
        if left <= 0:
            return None
        return Called(called.principal, called.allowance.after(left))

    def _noted(self, slot: _Slot, called: Called | None) -> Called | None:
        if called is not None and called.allowance is not None and not called.allowance.passed:
            self._refused[slot] = time.monotonic(), called
        return called

    async def _count_key(self, slot: _Slot, wanted: int) -> list[Called | None]:
        live = live_keys({"digest": slot.identity})
        found = await self._update(ApiKey.Settings.name, live, slot, wanted, upsert=False)
        if found is None:
            return [None] * wanted
        principal = Principal(
            found["tenant_id"], f"key:{found['name']}", found["_id"], stored_scopes(found.get("scopes"))
        )
        return [Called(principal, each) for each in allowances(slot.kind, wanted, found)]

    async def _count_session(self, slot: _Slot, wanted: int) -> list[Allowance | None]:
        found = await self._update(RequestCount.Settings.name, {"_id": slot.identity}, slot, wanted, upsert=True)
        return allowances(slot.kind, wanted, found or {})

    async def _update(
        self, collection: str, query: Document, slot: _Slot, wanted: int, *, upsert: bool
    ) -> Document | None:
        # As a command it is no retryable write, for which the server would store another document each time.
        command: Document = {
            "findAndModify": collection,
            "query": query,
            "update": counting(slot.kind, wanted, slot.plan_limit),
            "new": True,
            "upsert": upsert,
            "fields": {"tenant_id": 1, "name": 1, "scopes": 1, f"counted.{slot.kind}": 1},
            "writeConcern": _ACKNOWLEDGED,
        }
        try:
            answer = await self._state.command(command)
        except Exception as error:
            if not is_transient(error):
                raise
            # Another primary may be there already. What was counted then is counted twice: never too many pass.
            answer = await self._state.command(command)
        return answer["value"]
