"""Fields of the target records that no two live records of a tenant share, and how they are indexed and found.

Index and look-up must name the same types: a look-up uses a partial index only if it asks for no more than the
index holds.
"""

from collections.abc import Sequence
from typing import Any

from pymongo import ASCENDING, IndexModel

KEY_TYPES = ["string", "number", "date", "bool"]
"""BSON types of a key. Records without a value are not bound to be unique, nor are those with another type."""


def live_with(names: Sequence[str]) -> dict[str, Any]:
    """The filter of live records that have a value of a key's type in every field of ``names``."""
    return {"is_deleted": False, **{name: {"$type": KEY_TYPES} for name in names}}


def unique_index(names: Sequence[str]) -> IndexModel:
    """The unique index of one field, or of a combination of them."""
    return IndexModel(
        [("tenant_id", ASCENDING), *((name, ASCENDING) for name in names)],
        name=f"upsert_{names[0]}" if len(names) == 1 else f"unique_{'+'.join(names)}",
        unique=True,
        partialFilterExpression=live_with(names),
    )
