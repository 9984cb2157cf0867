"""Updates that give records the entries of keys, made by the server from the records' own fields.

Entries hold texts as they are compared (``libs.contracts.record_keys``). The server knows no composed letters, so texts
that are not spelled in the simplest way are looked up first, and the update is told what they are compared as.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from libs.contracts.record_keys import KEYS, SCOPE, SPELLED, key_entry, key_value
from libs.storage.client import Collection, Document

RECORDS_AT_A_TIME = 1_000
SPELLINGS_AT_A_TIME = 256 * 1024
"""Characters of texts that one update is told of; one text more may follow."""
_TYPES_OF_VALUES = ["string", "int", "long", "double", "decimal", "date", "bool"]
"""The same as the server names the types of values."""


@dataclass(frozen=True, slots=True)
class TargetKey:
    """One registration.

    Attributes:
        id: scope of its entries.
        names: the fields, sorted.
    """

    id: ObjectId
    names: tuple[str, ...]


def keys_pipeline(keys: Sequence[TargetKey], spelled: Mapping[str, str] | None = None) -> list[Document]:
    """The update that gives records their entries from their own fields; ``[]`` to one that has none of the keys.

    Args:
        keys: of the tenant.
        spelled: texts of the records and what they are compared as, where that is not the same.
    """
    entries = [
        {
            "$cond": [
                {"$and": [{"$in": [{"$type": f"${name}"}, _TYPES_OF_VALUES]} for name in key.names]},
                _entry(key),
                None,
            ]
        }
        for key in keys
    ]
    made: Document = {"$filter": {"input": entries, "cond": {"$ne": ["$$this", None]}}}
    return [{"$set": {KEYS: _told(spelled or {}, made)}}]


def _entry(key: TargetKey) -> Document:
    """An expression, to be told of spellings: the entry of a record that has the key."""
    return key_entry(key.id, [_value(f"${name}") for name in key.names])


def _value(field: str) -> Document:
    at: Document = {"$indexOfArray": ["$$spelled", field]}
    as_compared = {"$arrayElemAt": ["$$compared", "$$at"]}
    return {"$let": {"vars": {"at": at}, "in": {"$cond": [{"$lt": ["$$at", 0]}, field, as_compared]}}}


def _told(spelled: Mapping[str, str], expression: Document) -> Document:
    words = {"spelled": {"$literal": list(spelled)}, "compared": {"$literal": list(spelled.values())}}
    return {"$let": {"vars": words, "in": expression}}


def with_entry(key: TargetKey, spelled: Mapping[str, str]) -> list[Document]:
    """The update that adds the entry of one key to records that have it."""
    extended: Document = {"$concatArrays": [{"$ifNull": [f"${KEYS}", []]}, [_entry(key)]]}
    return [{"$set": {KEYS: _told(spelled, extended)}}]


def forgetting(keys: Sequence[TargetKey]) -> list[Document]:
    """The update that takes the entries of ``keys`` from records."""
    others = {"$not": [{"$in": [f"$$this.{SCOPE}", [key.id for key in keys]]}]}
    return [{"$set": {KEYS: {"$filter": {"input": {"$ifNull": [f"${KEYS}", []]}, "cond": others}}}}]


def renewing(keys: Sequence[TargetKey], spelled: Mapping[str, str]) -> list[Document]:
    """The update that makes the entries of ``keys`` anew from the records' fields, and leaves others."""
    (forgotten,), (made,) = forgetting(keys), keys_pipeline(keys, spelled)
    return [{"$set": {KEYS: {"$concatArrays": [forgotten["$set"][KEYS], made["$set"][KEYS]]}}}]


async def spellings(
    records: Collection, ids: Sequence[Any], keys: Iterable[TargetKey]
) -> AsyncIterator[tuple[list[Any], dict[str, str]]]:
    """The records in portions, each with those texts in fields of ``keys`` that are compared as others than they are.

    Args:
        records: the collection.
        ids: of its records.
        keys: the keys that they are to have entries of.
    """
    names = sorted({name for key in keys for name in key.names})
    waiting = [list(ids)] if names else []
    while waiting:
        some = waiting.pop()
        conditions = {"_id": {"$in": some}, "$or": [{name: {"$regex": SPELLED}} for name in names]}
        spelled: dict[str, str] = {}
        size = 0
        async for record in records.find(conditions, dict.fromkeys(names, 1), batch_size=RECORDS_AT_A_TIME):
            texts = [text for name in names if isinstance(text := record.get(name), str)]
            spelled |= {text: other for text in texts if (other := key_value(text)) != text}
            size += sum(map(len, texts))
            if size > SPELLINGS_AT_A_TIME and len(some) > 1:
                waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
                break
        else:
            yield some, spelled
    if not names:
        yield list(ids), {}
