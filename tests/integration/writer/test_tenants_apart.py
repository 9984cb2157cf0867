"""Two tenants on one resource, templates and runs in any order: each sees what it would see if it were alone."""

from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from libs.contracts.templates import Template
from libs.ledger import Ledger
from libs.storage.client import Mongo
from services.gateway.access.principal import Principal
from services.gateway.access.reach import Reach
from services.gateway.errors import ConflictError
from services.gateway.templates.catalog import Quotas, TemplateCatalog, Written
from services.gateway.templates.judging import ApprovedTemplate
from services.gateway.templates.unique_keys import KeyRegistrar
from services.gateway.webhooks.endpoints import Webhooks
from tests.integration.validator.runs import check, parsed
from tests.integration.writer.batches import rejections, write

pytestmark = pytest.mark.servers

Step = tuple[str, int, Any]
"""Tenant, which of its two templates, and what: the kind that takes its place, rows, or ``None``: it goes."""

A, B = {"name": "a"}, {"name": "b"}
AGAINST = {"type": "unique", "against_target": True}
KINDS: tuple[dict[str, Any], ...] = (
    {"fields": [A, B]},
    {"fields": [A, B], "mode": "upsert", "upsert_key": "a"},
    {"fields": [A, B], "mode": "upsert", "upsert_key": "b"},
    {"fields": [{**A, "rules": [AGAINST]}, B]},
    {"fields": [{**A, "rules": [{**AGAINST, "fields": ["b"]}]}, B]},
    {"fields": [A, {**B, "rules": [{**AGAINST, "fields": ["a"]}]}], "mode": "upsert", "upsert_key": "a"},
)

values = st.sampled_from(["1", "2", None])
rows = st.lists(st.tuples(values, values), min_size=1, max_size=3)
steps = st.lists(
    st.tuples(
        st.sampled_from("xy"), st.integers(0, 1), st.one_of(st.integers(0, len(KINDS) - 1), rows, rows, st.none())
    ),
    min_size=3,
    max_size=9,
)


class Tenant:
    """One tenant on one resource, and what it has seen."""

    def __init__(self, mongo: Mongo, ledger: Ledger, resource: str) -> None:
        self._mongo = mongo
        self._ledger = ledger
        self._resource = resource
        self._principal = Principal(uuid4().hex, "key:test", "key")
        # A tenant may have two keys in a resource: the quota is seen too.
        registrar, quotas = KeyRegistrar(mongo, 2, 20), Quotas(10, 10)
        self._catalog = TemplateCatalog(mongo, Reach(mongo), Webhooks(Fernet(Fernet.generate_key())), registrar, quotas)
        self._saved: dict[int, tuple[str, dict[str, Any]]] = {}

    async def take(self, slot: int, what: object) -> object:
        """Take one step; what came of it."""
        match what:
            case int(kind):
                return await self._save(slot, KINDS[kind])
            case list():
                return await self._import(slot, what)
            case _:
                if slot in self._saved:
                    await self._catalog.delete(self._principal, self._saved.pop(slot)[0], "engine")
                return None

    async def _save(self, slot: int, kind: dict[str, Any]) -> object:
        model = {"name": "t", "target_resource": self._resource, "auto_execute": True, **kind}
        approved, written = ApprovedTemplate(Template.model_validate(model)), Written("engine", {})
        try:
            if slot in self._saved:
                linked = await self._catalog.replace(self._principal, self._saved[slot][0], approved, written)
            else:
                linked = await self._catalog.create(self._principal, approved, written)
        except ConflictError as error:
            return error.code
        self._saved[slot] = (linked.document.id, model)
        return "saved"

    async def _import(self, slot: int, cells: list[tuple[str | None, ...]]) -> object:
        if slot not in self._saved:
            return None
        run = await parsed(self._ledger, [cells], self._principal.tenant_id, **self._saved[slot][1])
        await check(self._mongo, self._ledger, run, 1)
        ended = await write(self._mongo, self._ledger, run)
        assert ended.counts is not None
        refused = {row: (field, code) for row, (field, code, _) in (await rejections(self._mongo, run)).items()}
        return ended.status, ended.failure, ended.counts, refused

    async def records(self) -> list[tuple[object, object]]:
        """What it has in the target."""
        found = self._mongo.target[self._resource].find({"tenant_id": self._principal.tenant_id})
        return sorted([(record["a"], record["b"]) async for record in found], key=str)


@settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(taken=steps)
@example(taken=[("x", 0, 1), ("y", 0, 0), ("y", 0, [("1", "1")] * 2), ("x", 0, [("1", "2")] * 2), ("y", 1, 3)])
@example(taken=[("x", 0, 5), ("x", 1, 2), ("y", 0, 4), ("x", 0, None), ("y", 0, [("1", "1")]), ("x", 1, [("1", "1")])])
async def test_each_sees_what_it_would_see_alone(mongo: Mongo, ledger: Ledger, taken: list[Step]) -> None:
    shared = f"shared_{uuid4().hex}"
    beside = {name: Tenant(mongo, ledger, shared) for name in "xy"}
    alone = {name: Tenant(mongo, ledger, f"alone_{uuid4().hex}") for name in "xy"}
    for name, slot, what in taken:
        assert await beside[name].take(slot, what) == await alone[name].take(slot, what), (name, slot, what)
    for name in "xy":
        assert await beside[name].records() == await alone[name].records()
