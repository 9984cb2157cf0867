"""How many rows a batch has, by what is done with them."""

import pytest

from libs.contracts.templates import Template, TemplateField
from services.parser.settings import ParserSettings


@pytest.mark.parametrize(
    ("mode", "settings", "rows"),
    [
        ("append", {}, 10_000),
        ("upsert", {}, 5_000),
        ("update", {}, 5_000),
        ("sync", {}, 5_000),
        ("append", {"batch_rows": 100}, 100),
        ("upsert", {"batch_rows": 100}, 100),
        ("append", {"keyed_batch_rows": 100}, 10_000),
        ("upsert", {"keyed_batch_rows": 100}, 100),
    ],
)
def test_batches_are_smaller_where_rows_find_records(mode: str, settings: dict[str, int], rows: int) -> None:
    fields = (TemplateField(name="sku"),)
    scope = {"scope_filter": {"source": "erp"}} if mode == "sync" else {}
    template = Template.model_validate(
        {"name": "t", "target_resource": "t", "fields": fields, "mode": mode, "upsert_key": "sku", **scope}
    )
    assert ParserSettings.model_validate(settings).rows_of_a_batch(template) == rows
