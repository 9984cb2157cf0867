"""Rows of a sync that reach beyond its scope."""

from typing import Any

import pytest
from bson import Decimal128

from libs.contracts.templates import Template
from services.writer.domain.sync_scope import out_of_scope, scope_conditions
from tests.unit.writer.checked_batches import checked_batch

FIELDS = [
    {"name": "sku"},
    {"name": "country"},
    {"name": "rank", "type": "number", "integer": True},
    {"name": "open", "type": "boolean"},
]
SYNC: dict[str, Any] = {"name": "t", "target_resource": "r", "mode": "sync", "upsert_key": "sku", "fields": FIELDS}


def sync(**changes: object) -> Template:
    return Template.model_validate({**SYNC, **changes})


@pytest.mark.parametrize(
    ("scope", "row", "record", "beyond"),
    [
        ({"country": "SE"}, {"country": "SE"}, None, False),
        ({"country": "SE"}, {"country": "se"}, None, True),
        ({"country": "SE"}, {}, None, True),
        ({"country": "SE"}, {"country": "SE"}, {"country": "SE"}, False),
        ({"country": "SE"}, {"country": "SE"}, {"country": "NO"}, True),
        ({"country": "SE"}, {"country": "SE"}, {}, True),
        ({"country": "SE"}, {"country": "SE"}, {"country": ["SE"]}, True),
        ({"country": "SE"}, {"country": "NO"}, {"country": "SE"}, True),
        ({"rank": 1}, {"rank": 1}, {"rank": 1.0}, False),
        ({"rank": 1}, {"rank": 1}, {"rank": Decimal128("1.00")}, False),
        ({"rank": 1}, {"rank": 1}, {"rank": True}, True),
        ({"open": True}, {"open": True}, {"open": 1}, True),
        ({"open": True}, {"open": True}, {"open": True}, False),
        ({"source": "erp"}, {}, {"source": "erp"}, False),
        ({"source": "erp"}, {}, {"source": "shop"}, True),
        ({"source": "erp"}, {}, None, False),
        ({"elsewhere": "erp"}, {}, None, True),
    ],
)
def test_rows(scope: dict[str, Any], row: dict[str, Any], record: dict[str, Any] | None, beyond: bool) -> None:
    template = sync(scope_filter=scope, default_values={"source": "erp"})
    table = checked_batch(template, [{"_row": 7, "sku": "a", **row}])
    existing = {} if record is None else {"a": {"_id": 1, "sku": "a", **record}}
    found = out_of_scope(table, existing, template, {"sku", "country", "rank", "open"})
    assert list(found) == ([7] if beyond else [])
    assert {error.code for errors in found.values() for error in errors} <= {"OUT_OF_SCOPE"}


def test_a_column_that_the_file_lacks_says_nothing_of_records_that_exist() -> None:
    template = sync(scope_filter={"country": "SE"})
    table = checked_batch(template, [{"_row": 1, "sku": "a"}, {"_row": 2, "sku": "b"}])
    assert list(out_of_scope(table, {"a": {"sku": "a", "country": "SE"}}, template, {"sku"})) == [2]


def test_other_modes_have_no_scope() -> None:
    template = sync(mode="upsert", scope_filter=None)
    assert out_of_scope(checked_batch(template, [{"_row": 1, "sku": "a"}]), {}, template, {"sku"}) == {}
    assert scope_conditions(template) == {}
