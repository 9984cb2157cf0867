"""Which row of a batch the server would refuse first for a value that another record holds, without asking it.

The unique index of the tenants' keys is taken to be what it is: the writes of a batch come one after another, changes
of records before new ones, and each must find its values free. What a change frees is free for those behind it.
"""

import hashlib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from libs.contracts.record_keys import key_value
from libs.contracts.templates import Template
from services.writer.domain.batch_plan import AS_IN_FILE, BatchPlan, Record, Values, field_values, row_numbers
from services.writer.domain.decimal128 import comparable
from services.writer.domain.record_keys import Key

MOST_REMEMBERED = 1_000_000
Place = tuple[ObjectId, Values]


@dataclass(frozen=True, slots=True)
class Claim:
    """The values of one key that a row gives to its record.

    Attributes:
        record_id: of the record that it changes; ``None`` where it creates one.
        before: what that held; ``None`` where it held nothing of the key.
        after: what it is to hold; ``None`` where it is to hold nothing.
    """

    row: int
    key: Key
    record_id: Any
    before: Values | None
    after: Values | None


def claims_of(plan: BatchPlan, template: Template, keys: Sequence[Key], existing: Mapping[Any, Record]) -> list[Claim]:
    """What the rows of a plan claim, in the order in which they are written."""
    records = {record["_id"]: record for record in existing.values() if record is not AS_IN_FILE}
    found: list[Claim] = []
    for update in plan.updates:
        record = records[update.record_id]
        after = {**record, **update.changes}
        for key in keys:
            held, wanted = _values(record, key), _values(after, key)
            if held != wanted:
                found.append(Claim(update.row, key, update.record_id, held, wanted))
    return [*found, *_of_new_records(plan, template, keys)]


def _of_new_records(plan: BatchPlan, template: Template, keys: Sequence[Key]) -> Iterator[Claim]:
    known = [key for key in keys if template.sets.issuperset(key.names)]
    columns = [zip(*(field_values(plan.create, template, name) for name in key.names), strict=True) for key in known]
    for row, *values in zip(row_numbers(plan.create), *columns, strict=True):
        for key, wanted in zip(known, values, strict=True):
            if None not in wanted:
                yield Claim(row, key, None, None, wanted)


def _values(record: Mapping[str, Any], key: Key) -> Values | None:
    values = tuple(key_value(comparable(record.get(name))) for name in key.names)
    return None if None in values else values


def first_refused(
    claims: Sequence[Claim], holders: Mapping[ObjectId, Mapping[Values, Record]], earlier: "EarlierClaims"
) -> Claim | None:
    """The first claim of what is not free.

    Args:
        claims: those of a batch, in their order.
        holders: by the id of a key, the live record that holds these values.
        earlier: what batches before this one have claimed and freed.
    """
    freed: set[Place] = set()
    taken: set[Place] = set()
    for claim in claims:
        if claim.before is not None:
            freed.add((claim.key.id, claim.before))
        if claim.after is None:
            continue
        place = claim.key.id, claim.after
        holder = holders.get(claim.key.id, {}).get(claim.after)
        held = holder is not None and holder["_id"] != claim.record_id and place not in freed
        if place in taken or (held and not earlier.has_freed(place)) or earlier.has_claimed(place):
            return claim
        taken.add(place)
    return None


@dataclass(slots=True)
class EarlierClaims:
    """What the batches before have claimed and freed, of keys that no check of the whole file has compared.

    Eight bytes of each are kept, of so many as ``MOST_REMEMBERED``: what is beyond is not compared.

    Attributes:
        compared: ids of the keys whose values are compared over the whole file anyway.
    """

    compared: Container[ObjectId]
    _claimed: set[bytes] = field(default_factory=set[bytes])
    _freed: set[bytes] = field(default_factory=set[bytes])

    def add(self, claims: Sequence[Claim]) -> None:
        """Remember the claims of a batch."""
        for claim in claims:
            if claim.key.id in self.compared or len(self._claimed) + len(self._freed) >= MOST_REMEMBERED:
                continue
            if claim.before is not None:
                self._freed.add(_digest((claim.key.id, claim.before)))
            if claim.after is not None:
                self._claimed.add(_digest((claim.key.id, claim.after)))

    def has_claimed(self, place: Place) -> bool:
        return bool(self._claimed) and _digest(place) in self._claimed

    def has_freed(self, place: Place) -> bool:
        return bool(self._freed) and _digest(place) in self._freed


def _digest(place: Place) -> bytes:
    return hashlib.blake2b(repr(place).encode(), digest_size=8).digest()
