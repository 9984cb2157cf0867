"""Rows find their records however either spells the key."""

from typing import Any

import pytest

from libs.storage.client import Mongo
from tests.integration.writer.test_target_records import (
    FIRST_RUN,
    MONDAY,
    SECOND_RUN,
    TUESDAY,
    records,
    records_of,
    upsert,
)
from tests.unit.writer.checked_batches import CONTACTS, TENANT_ID

pytestmark = pytest.mark.servers
SPELLINGS = [
    ("SKU123", "SKU123\u00a0 "),
    ("Québec-7", "Que\u0301bec-7"),
    ("4711", "\u202a4711\u202c"),
    ("a@x.com", "a@X.com"),
]


def rows(column: int) -> list[dict[str, Any]]:
    return [{"_row": number, "email": pair[column]} for number, pair in enumerate(SPELLINGS, start=1)]


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 0)], ids=["of the row", "of the record"])
async def test_another_spelling_is_no_other_record(mongo: Mongo, before: int, after: int) -> None:
    """Batches of validators of the release before hold keys as the file spells them."""
    first = await upsert(mongo, FIRST_RUN, rows(before), MONDAY)
    assert first.create.num_rows == len(SPELLINGS)
    second = await upsert(mongo, SECOND_RUN, rows(after), TUESDAY)
    assert (second.create.num_rows, len(second.updates)) == (0, len(SPELLINGS))
    assert [each["email"] for each in await records(mongo)] == [pair[after] for pair in SPELLINGS]
    third = await upsert(mongo, SECOND_RUN, rows(after), TUESDAY)
    assert (third.create.num_rows, third.updates) == (0, [])


async def test_records_of_release_0_1_are_found(mongo: Mongo) -> None:
    common = {"tenant_id": TENANT_ID, "is_deleted": False, "_import": {"run_id": "r", "row": 1, "version": 1}}
    await mongo.target["contacts"].insert_many([{**common, "email": spelled} for _, spelled in SPELLINGS])
    plan = await upsert(mongo, SECOND_RUN, rows(0), TUESDAY)
    assert (plan.create.num_rows, len(plan.updates)) == (0, len(SPELLINGS))
    assert [each["email"] for each in await records(mongo)] == [wanted for wanted, _ in SPELLINGS]


async def test_leading_zeros_case_and_letters_are_kept_apart(mongo: Mongo) -> None:
    keys = ["00042", "42", "042", "sku", "SKU", "e", "é", "a b", "ab"]
    await upsert(mongo, FIRST_RUN, [{"_row": at, "email": key} for at, key in enumerate(keys, start=1)], MONDAY)
    assert len(await records(mongo)) == len(keys)
    [key] = await records_of(mongo).keys()
    found = await records_of(mongo).by_key(key, keys, [field.name for field in CONTACTS.fields])
    assert {value: record["email"] for value, record in found.items()} == dict(zip(keys, keys, strict=True))
