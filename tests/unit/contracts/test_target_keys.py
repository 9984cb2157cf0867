"""What a template asks of the records of its target."""

from typing import Any

import pytest

from libs.contracts.templates import AskedKey, ImportMode, Template, TemplateField, Unique, asked_keys

SCOPE: dict[str, Any] = {"source": "erp"}


def template(mode: ImportMode, *rules: Unique) -> Template:
    return Template(
        name="products",
        target_resource="products",
        fields=(TemplateField(name="sku"), TemplateField(name="shop", rules=rules)),
        mode=mode,
        upsert_key="sku",
        scope_filter=SCOPE if mode is ImportMode.SYNC else None,
    )


@pytest.mark.parametrize("mode", [ImportMode.UPSERT, ImportMode.UPDATE, ImportMode.SYNC])
def test_every_mode_that_finds_records_by_a_key_needs_it_to_be_unique(mode: ImportMode) -> None:
    assert asked_keys(template(mode)) == (AskedKey(("sku",), "upsert_key"),)


def test_a_mode_that_only_adds_does_not() -> None:
    assert asked_keys(template(ImportMode.APPEND)) == ()


def test_rules_about_the_target_name_their_place_in_the_model() -> None:
    rules = (Unique(), Unique(fields=("sku",), against_target=True))
    [key] = asked_keys(template(ImportMode.APPEND, *rules))
    assert (key.names, key.location, key.is_upsert_key) == (("shop", "sku"), "fields[1].rules[1]", False)


def test_a_template_that_was_stored_with_a_field_twice_asks_for_it_once() -> None:
    rules = (Unique(fields=("sku", "sku"), against_target=True),)
    assert [key.names for key in asked_keys(template(ImportMode.APPEND, *rules))] == [("shop", "sku")]
