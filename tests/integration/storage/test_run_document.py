"""What a run is made for, as it is stored and read, by this release and by the one before."""

from datetime import UTC, datetime
from typing import Any

import pytest

from libs.contracts.purposes import RunPurpose
from libs.storage.client import Mongo
from libs.storage.documents import RunDocument

pytestmark = pytest.mark.servers
NOW = datetime(2026, 1, 2, tzinfo=UTC)
STORED: dict[str, Any] = {
    "_id": "0" * 24,
    "tenant_id": "tenant",
    "template_id": "template",
    "template_version": 1,
    "template": {"name": "t", "target_resource": "records", "fields": [{"name": "sku"}]},
    "file": {"id": "0" * 24, "name": "rows.csv", "size": 1, "sha256": "00"},
    "created_at": NOW,
    "updated_at": NOW,
}


@pytest.mark.parametrize(
    ("said", "purpose"),
    [
        ({}, RunPurpose.IMPORT),
        ({"dry_run": False}, RunPurpose.IMPORT),
        ({"dry_run": True}, RunPurpose.DRY_RUN),
        ({"dry_run": False, "purpose": "import"}, RunPurpose.IMPORT),
        ({"dry_run": True, "purpose": "dry_run"}, RunPurpose.DRY_RUN),
    ],
)
async def test_a_run_without_a_purpose_says_by_dry_run_what_it_is(
    mongo: Mongo, said: dict[str, Any], purpose: RunPurpose
) -> None:
    await mongo.state["runs"].insert_one({**STORED, **said})
    run = RunDocument.model_validate(await mongo.state["runs"].find_one())
    assert run.purpose is purpose
    stored = run.model_dump(by_alias=True)
    assert (stored["purpose"], stored["dry_run"]) == (purpose, purpose is RunPurpose.DRY_RUN)
    assert RunDocument.model_validate(stored).purpose is purpose
