"""Values of a retry that rows hold which were written before."""

from collections.abc import Iterable

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.validator.domain.compilation import CompiledTemplate, compile_template
from services.validator.domain.duplicates import Batches, resolve_duplicates
from services.validator.domain.held_values import held_values

PLAN = ParsePlan(columns=("sku", "mail"), mapping={"sku": 0, "mail": 1})
Keys = list[tuple[int, str | None, str | None]]


def template(**more: object) -> CompiledTemplate:
    fields = [{"name": "sku"}, {"name": "mail", "rules": [{"type": "unique"}]}]
    model = {"name": "t", "target_resource": "records", "fields": fields, **more}
    return compile_template(Template.model_validate(model), PLAN)


UPSERT = template(mode="upsert", upsert_key="sku")


def batches(*several: Keys) -> Batches:
    tables = [
        pa.table(
            {
                "_row": pa.array([row for row, _, _ in keys], pa.uint32()),
                "sku": pa.array([sku for _, sku, _ in keys], pa.string()),
                "mail": pa.array([mail for _, _, mail in keys], pa.string()),
            }
        )
        for keys in several
    ]

    def all_of_them() -> Iterable[tuple[int, pa.Table]]:
        return enumerate(tables)

    return all_of_them


def pairs(compiled: CompiledTemplate, own: Batches, written: Batches, per_pass: int = 1_000) -> dict[str, list[object]]:
    found = held_values(compiled, own, written, 3, per_pass)
    return {name: list(zip(held.rows.tolist(), held.holders.tolist(), strict=True)) for name, held in found.items()}


def test_a_unique_value_stays_with_the_row_that_was_written_whatever_its_number() -> None:
    own = batches([(3, "a", "x"), (9, "b", "x"), (11, "c", None)])
    assert pairs(UPSERT, own, batches([(7, "z", "x")], [(8, "y", "q")]))["mail"] == [(3, 7), (9, 7)]


def test_only_later_rows_win_an_upsert_key() -> None:
    own, written = batches([(3, "a", None), (9, "a", None)]), batches([(7, "a", None)])
    assert pairs(UPSERT, own, written)["sku"] == [(3, 7)]
    held = held_values(UPSERT, own, written, 2)
    resolution = resolve_duplicates(UPSERT, own, 2, held_before=held)[0]
    assert resolution.superseded.tolist() == [3]


def test_a_row_that_is_rejected_is_not_skipped_too() -> None:
    own, written = batches([(3, "a", "x")]), batches([(7, "a", "x")])
    resolution = resolve_duplicates(UPSERT, own, 1, held_before=held_values(UPSERT, own, written, 1))[0]
    assert (resolution.rejected_rows.tolist(), resolution.superseded.tolist()) == ([3], [])


@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from("abc"), st.sampled_from("xyz")), unique_by=lambda r: r[0]),
    st.integers(1, 5),
)
def test_passes_change_nothing(rows: Keys, per_pass: int) -> None:
    rows.sort(key=lambda each: each[0])
    own, written = batches(rows[::2]), batches(rows[1::2])
    expected = {
        (row, min(r for r, _, other in rows[1::2] if other == mail))
        for row, _, mail in rows[::2]
        if any(other == mail for _, _, other in rows[1::2])
    }
    assert set(pairs(UPSERT, own, written, per_pass)["mail"]) == expected
