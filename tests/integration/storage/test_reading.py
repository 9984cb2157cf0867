"""Stored documents that another release wrote."""

from datetime import UTC, datetime
from typing import Any

import pytest

from libs.contracts.errors import UnreadableDocumentError
from libs.storage.client import Mongo
from libs.storage.documents import TemplateDocument

pytestmark = pytest.mark.servers

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def stored(**field: object) -> dict[str, Any]:
    template = {"name": "t", "target_resource": "records", "fields": [{"name": "sku", **field}]}
    document = {"_id": "1" * 24, "tenant_id": "t", "template": template, "created_at": NOW, "updated_at": NOW}
    return {**document, "of_the_future": 1}


async def test_what_was_added_is_ignored(mongo: Mongo) -> None:
    del mongo  # Beanie's models need their collections
    read = TemplateDocument.read(stored(of_the_future=2))
    assert read.template.fields[0].name == "sku"


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ({"rules": [{"type": "required"}, {"type": "sounds_like", "value": "s3cret"}]}, "template.fields[0].rules[1]"),
        ({"transforms": [{"type": "translate", "to": "s3cret"}]}, "template.fields[0].transforms[0]"),
        ({"type": "colour"}, "template.fields[0].type"),
    ],
)
async def test_what_would_change_the_meaning_is_refused(mongo: Mongo, field: dict[str, Any], place: str) -> None:
    del mongo
    with pytest.raises(UnreadableDocumentError, match="A newer release wrote it") as refused:
        TemplateDocument.read(stored(**field))
    assert refused.value.code == "UNREADABLE_DOCUMENT"
    assert f"'{'1' * 24}' in 'templates' cannot be read by this release of Rowdock: {place}: " in refused.value.detail
    assert "s3cret" not in refused.value.detail


async def test_a_document_that_is_wrong_all_over_is_told_shortly(mongo: Mongo) -> None:
    del mongo
    with pytest.raises(UnreadableDocumentError, match="; 1 more") as refused:
        TemplateDocument.read({"_id": "x"})
    assert len(refused.value.detail) < 500
