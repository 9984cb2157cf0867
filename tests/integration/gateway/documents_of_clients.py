"""JSON as a hostile or confused client writes it, for generated examples."""

import copy
import json
from typing import Any, cast

from hypothesis import strategies as st

Json = dict[str, Any]
FULL_TEMPLATE: Json = {
    "name": "products",
    "description": "of the shop",
    "file_type": "csv",
    "delimiter": ";",
    "encoding": "utf-8",
    "has_header": True,
    "skip_rows": 1,
    "target_resource": "fuzzed",
    "import_mode": "upsert",
    "upsert_key": "sku",
    "default_values": {"origin": "file", "rank": 7},
    "required_columns": ["sku"],
    "include_unmatched_columns": True,
    "default_date_order": "dmy",
    "default_decimal_style": "comma",
    "default_region": "SE",
    "invalid_rows": "keep",
    "auto_execute": False,
    "webhook_url": "https://example.com/hook",
    "webhook_enabled": True,
    "version": 1,
    "field_mapping": [
        {
            "source": "SKU",
            "target": "sku",
            "required": True,
            "label": "Number",
            "aliases": ["no", "number"],
            "validators": [
                {"type": "regex", "pattern": "[a-z]+", "message": "letters"},
                {"type": "min_length", "value": 1},
                {"type": "enum", "values": ["a", "b"]},
                {"type": "unique", "fields": ["name"], "against_target": True},
            ],
        },
        {
            "source": "price",
            "target": "price",
            "type": "number",
            "decimals": 2,
            "decimal_style": "comma",
            "validators": [{"type": "min", "value": 0}, {"type": "max", "value": 1e6}],
        },
        {"target": "name", "transform": "concat:first,last", "transformations": [{"type": "trim"}]},
        {"target": "day", "type": "date", "date_order": "dmy"},
        {
            "target": "phone",
            "type": "phone",
            "region": "SE",
            "validators": [
                {"type": "required_if", "field": "sku", "values": ["a"]},
                {"type": "compare", "operator": "ne", "field": "sku"},
            ],
        },
        {
            "target": "kind",
            "type": "select",
            "options": ["a", "b"],
            "transformations": [{"type": "replace", "find": "x", "replace": "y"}],
        },
    ],
}

NASTY_TEXTS = (
    "", "\0", "\ud800", "$where", "a.b", "_id", "__proto__", "sku", "x" * 5_000, "constant:", "date:", "concat:",
    "1e999",
)  # fmt: skip
texts = st.one_of(st.text(st.characters(exclude_categories=()), max_size=8), st.sampled_from(NASTY_TEXTS))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**99, 10**400]),
    st.floats(),
    texts,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


def _places(value: object, path: tuple[int | str, ...] = ()) -> list[tuple[int | str, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, member in cast("Json", value).items():
            found += _places(member, (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(cast("list[object]", value)):
            found += _places(entry, (*path, index))
    return found


PLACES = [path for path in _places(FULL_TEMPLATE) if path]


@st.composite
def broken_templates(draw: st.DrawFn) -> Json:
    """A full template with one to three of its parts replaced, removed, renamed or put in twice."""
    template = copy.deepcopy(FULL_TEMPLATE)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(PLACES))
        container: Any = template
        for step in way:
            try:
                container = container[step]
            except (KeyError, IndexError, TypeError):
                break
        else:
            _change(draw, container, last)
    return template


def _change(draw: st.DrawFn, container: object, last: int | str) -> None:
    if isinstance(container, dict):
        members = cast("Json", container)
        match draw(st.sampled_from(["replace", "remove", "rename"])):
            case "replace":
                members[str(last)] = draw(values)
            case "remove":
                members.pop(str(last), None)
            case _:
                members[draw(texts)] = members.pop(str(last), None)
    elif isinstance(container, list):
        entries = cast("list[object]", container)
        entries.append(draw(st.one_of(values, st.just(entries[0] if entries else None))))


DEEP = "[" * 500 + "]" * 500


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """The bytes of a body: a template that is broken, any JSON, or text that is nearly JSON."""
    value = draw(st.one_of(broken_templates(), values))
    text = json.dumps(value)
    match draw(st.sampled_from(["as it is"] * 6 + ["cut", "deep", "twice", "bytes"])):
        case "cut":
            text = text[: draw(st.integers(0, len(text)))]
        case "deep":
            text = f'{{"z": {DEEP}, "y": {text}}}'
        case "twice":
            text = f'{{"name": {text}, "name": {text}}}'
        case "bytes":
            return draw(st.binary(max_size=40))
        case _:
            pass
    return text.encode()
