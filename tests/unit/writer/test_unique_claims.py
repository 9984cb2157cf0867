"""Which row the unique index would refuse, held against such an index in plain Python."""

from collections.abc import Sequence
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from services.writer.domain import unique_claims
from services.writer.domain.unique_claims import Claim, EarlierClaims, claims_of, first_refused
from tests.unit.writer.checked_batches import CONTACTS
from tests.unit.writer.planned_batches import plan
from tests.unit.writer.test_record_keys import RegisteredKey

EMAIL, NAMED = RegisteredKey(ObjectId(), ("email",)), RegisteredKey(ObjectId(), ("name", "age"))
Held = dict[tuple[ObjectId, tuple[Any, ...]], object]
values = st.none() | st.tuples(st.sampled_from("abcd"))
records = st.dictionaries(st.integers(0, 5), values, max_size=6)


@st.composite
def batches(draw: st.DrawFn) -> tuple[dict[int, tuple[str] | None], list[list[Claim]]]:
    """Records with different values of a key, and batches that change each of them once at most and create others."""
    held: dict[int, tuple[str] | None] = {}
    for record, value in draw(records).items():
        held[record] = None if value in held.values() else value
    changed = draw(st.permutations(sorted(held)))
    made, row = list[list[Claim]](), 0
    for _ in range(draw(st.integers(1, 3))):
        batch: list[Claim] = []
        for record in [changed.pop() for _ in range(draw(st.integers(0, len(changed))))]:
            row += 1
            after = draw(values)
            if after != held[record]:
                batch.append(Claim(row, EMAIL, record, held[record], after))
        for _ in range(draw(st.integers(0, 2))):
            row += 1
            if (after := draw(values)) is not None:
                batch.append(Claim(row, EMAIL, None, None, after))
        made.append(batch)
    return held, made


def refused_by_an_index(index: Held, claims: Sequence[Claim]) -> Claim | None:
    """The first claim that an index refuses; those before it are made."""
    for claim in claims:
        owner: object = ("new", claim.row) if claim.record_id is None else claim.record_id
        if claim.before is not None and index.get((claim.key.id, claim.before)) == owner:
            del index[claim.key.id, claim.before]
        if claim.after is None:
            continue
        if index.setdefault((claim.key.id, claim.after), owner) != owner:
            return claim
    return None


@given(batches())
def test_the_same_row_is_refused_as_by_an_index(drawn: tuple[dict[int, tuple[str] | None], list[list[Claim]]]) -> None:
    held, made = drawn
    index: Held = {(EMAIL.id, value): record for record, value in held.items() if value is not None}
    holders = {EMAIL.id: {value: {"_id": record} for record, value in held.items() if value is not None}}
    earlier = EarlierClaims([])
    for batch in made:
        refused = first_refused(batch, holders, earlier)
        assert refused == refused_by_an_index(index, batch)
        if refused is not None:
            return
        earlier.add(batch)


def test_keys_that_are_compared_over_the_whole_file_are_not_remembered() -> None:
    earlier = EarlierClaims([EMAIL.id])
    earlier.add([Claim(1, EMAIL, None, None, ("a",)), Claim(2, NAMED, 7, ("a", 1), ("b", 2))])
    assert not earlier.has_claimed((EMAIL.id, ("a",)))
    assert earlier.has_claimed((NAMED.id, ("b", 2)))
    assert earlier.has_freed((NAMED.id, ("a", 1)))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unique_claims, "MOST_REMEMBERED", 2)
    earlier = EarlierClaims([])
    earlier.add([Claim(row, EMAIL, None, None, (name,)) for row, name in enumerate("abc", 1)])
    assert [earlier.has_claimed((EMAIL.id, (name,))) for name in "abc"] == [True, True, False]


def test_rows_claim_what_they_change_in_the_order_in_which_it_is_written() -> None:
    existing: dict[Any, dict[str, Any]] = {
        "a": {"_id": 1, "email": "a", "name": "Ann", "age": 1},
        "b": {"_id": 2, "email": "b", "name": "Bob", "age": 2},
    }
    rows = [
        {"_row": 1, "email": "n", "name": "New", "age": 3},
        {"_row": 2, "email": "a", "name": "Ann", "age": 9},
        {"_row": 3, "email": "b", "name": "Bob", "age": 2},
        {"_row": 4, "email": "o", "name": "Old", "age": None},
    ]
    claims = claims_of(plan(rows, existing), CONTACTS, (EMAIL, NAMED), existing)
    said = [(claim.row, claim.key.names, claim.record_id, claim.before, claim.after) for claim in claims]
    assert said == [
        (2, ("name", "age"), 1, ("Ann", 1), ("Ann", 9)),
        (1, ("email",), None, None, ("n",)),
        (1, ("name", "age"), None, None, ("New", 3)),
        (4, ("email",), None, None, ("o",)),
    ]
